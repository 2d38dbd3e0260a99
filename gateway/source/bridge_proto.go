package source

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/chirpstack/chirpstack/api/go/v4/gw"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"belfry/gateway/lorawan"
)

var errNeitherForm = errors.New("neither JSON nor protobuf") // protobuf's own error is worded differently at each build

// parseBridgeProto reads the protobuf form. v3 used the fields that v4 calls legacy; a bridge that is on its way from one to
// the other fills both.
func parseBridgeProto(payload []byte) (bridgeFrame, error) {
	var message gw.UplinkFrame
	if err := protoOptions.Unmarshal(payload, &message); err != nil {
		return bridgeFrame{}, errNeitherForm
	}
	f := bridgeFrame{phy: message.GetPhyPayload()}
	f.packed = true
	var err error
	if message.TxInfo == nil && message.RxInfo == nil {
		f.legacy = true
		err = errors.Join(f.setLegacyTransmission(message.GetTxInfoLegacy()), f.setLegacyReception(message.GetRxInfoLegacy()))
	} else {
		err = errors.Join(f.setTransmission(message.GetTxInfo()), f.setReception(message.GetRxInfo()))
	}
	return f, err
}

func (f *bridgeFrame) setTransmission(info *gw.UplinkTxInfo) (err error) {
	f.frequency = info.GetFrequency()
	switch p := info.GetModulation().GetParameters().(type) {
	case *gw.Modulation_Lora:
		f.rate = f.loraRate(small(p.Lora.GetSpreadingFactor()), small(p.Lora.GetBandwidth()))
	case *gw.Modulation_Fsk:
		f.rate = lorawan.DataRate{BitRate: int(small(p.Fsk.GetDatarate()))}
	case *gw.Modulation_LrFhss:
		f.rate, err = protoHopRate(p.LrFhss)
	}
	return err
}

func (f *bridgeFrame) setLegacyTransmission(info *gw.UplinkTxInfoLegacy) (err error) {
	f.frequency = info.GetFrequency()
	switch p := info.GetModulationInfo().(type) {
	case *gw.UplinkTxInfoLegacy_LoraModulationInfo:
		f.rate = f.loraRate(small(p.LoraModulationInfo.GetSpreadingFactor()), small(p.LoraModulationInfo.GetBandwidth()))
	case *gw.UplinkTxInfoLegacy_FskModulationInfo:
		f.rate = lorawan.DataRate{BitRate: int(small(p.FskModulationInfo.GetDatarate()))}
	case *gw.UplinkTxInfoLegacy_LrFhssModulationInfo:
		f.rate, err = protoHopRate(p.LrFhssModulationInfo)
	}
	return err
}

// small keeps a number within what fits everywhere; what it cuts is refused later.
func small(number uint32) uint32 { return min(number, maxModulation) }

func protoHopRate(info *gw.LrFhssModulationInfo) (lorawan.DataRate, error) {
	coding := info.GetCodeRateLegacy()
	if coding == "" {
		coding = info.GetCodeRate().String()
	}
	return hopRate(small(info.GetOperatingChannelWidth()), coding)
}

func (f *bridgeFrame) setReception(info *gw.UplinkRxInfo) (err error) {
	f.rssi, f.board, f.antenna, f.context = int(info.GetRssi()), info.GetBoard(), info.GetAntenna(), info.GetContext()
	if f.snr, err = protoNumber(info.GetSnr()); err != nil {
		return fmt.Errorf("rx_info: snr: %w", err)
	}
	if err := f.setTimes(info.GetGwTime(), info.GetTimeSinceGpsEpoch()); err != nil {
		return err
	}
	return errors.Join(f.setGateway([]byte(info.GetGatewayId())), f.setCRC(info.GetCrcStatus().String()))
}

func (f *bridgeFrame) setLegacyReception(info *gw.UplinkRxInfoLegacy) error {
	f.rssi, f.snr = int(info.GetRssi()), info.GetLoraSnr()
	f.board, f.antenna, f.context = info.GetBoard(), info.GetAntenna(), info.GetContext()
	if math.IsNaN(f.snr) || math.IsInf(f.snr, 0) {
		return errors.New("rx_info: lora_snr: not a number")
	}
	if err := f.setTimes(info.GetTime(), info.GetTimeSinceGpsEpoch()); err != nil {
		return err
	}
	return errors.Join(f.setGateway(info.GetGatewayId()), f.setCRC(info.GetCrcStatus().String()))
}

func (f *bridgeFrame) setTimes(stamp *timestamppb.Timestamp, since *durationpb.Duration) (err error) {
	if f.time, err = protoTime(stamp); err != nil {
		return fmt.Errorf("rx_info: time: %w", err)
	}
	if since == nil {
		return nil
	}
	if err := since.CheckValid(); err != nil || since.AsDuration() == math.MaxInt64*time.Nanosecond {
		return errors.New("rx_info: time_since_gps_epoch: out of range")
	}
	f.setGPS(since.AsDuration())
	return nil
}

// parseProtoAck reads an event "ack" in protobuf, and says whether one of the windows was used.
func parseProtoAck(payload []byte) (sent bool, err error) {
	var message gw.DownlinkTxAck
	if err := proto.Unmarshal(payload, &message); err != nil {
		return false, errNeitherForm
	}
	statuses := make([]string, len(message.GetItems()))
	for i, item := range message.GetItems() {
		statuses[i] = item.GetStatus().String()
	}
	return wasSent(statuses), nil
}
