package source

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/chirpstack/chirpstack/api/go/v4/common"
	"github.com/chirpstack/chirpstack/api/go/v4/gw"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"belfry/gateway/lorawan"
)

// command writes an answer in the form that the radio gateway's own events have.
func (f *bridgeForm) command(gateway string, d lorawan.Downlink) ([]byte, error) {
	eui, err := hex.DecodeString(gateway)
	if err != nil {
		return nil, err
	}
	for _, w := range d.Windows {
		if (w.DataRate.SpreadingFactor > 0) == (w.DataRate.BitRate > 0) {
			return nil, errors.New("answers are sent in LoRa or FSK")
		}
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	switch {
	case f.legacy && f.packed:
		return proto.Marshal(f.legacyFrame(eui, id, d))
	case f.legacy:
		return json.Marshal(f.legacyText(eui, id, d))
	case f.packed:
		return proto.Marshal(f.frame(gateway, id, d))
	default:
		return protojson.Marshal(f.frame(gateway, id, d))
	}
}

// frame is a command of v4.
func (f *bridgeForm) frame(gateway string, id [16]byte, d lorawan.Downlink) *gw.DownlinkFrame {
	frame := &gw.DownlinkFrame{DownlinkId: binary.BigEndian.Uint32(id[:]), GatewayId: gateway}
	for _, w := range d.Windows {
		frame.Items = append(frame.Items, &gw.DownlinkFrameItem{PhyPayload: d.PHY, TxInfo: &gw.DownlinkTxInfo{
			Frequency: w.Frequency, Power: int32(w.Power), Modulation: modulation(w.DataRate),
			Board: f.board, Antenna: f.antenna, Context: f.context,
			Timing: &gw.Timing{Parameters: &gw.Timing_Delay{Delay: &gw.DelayTimingInfo{Delay: durationpb.New(w.Delay)}}},
		}})
	}
	return frame
}

func modulation(rate lorawan.DataRate) *gw.Modulation {
	if rate.BitRate > 0 {
		return &gw.Modulation{Parameters: &gw.Modulation_Fsk{Fsk: fsk(rate)}}
	}
	return &gw.Modulation{Parameters: &gw.Modulation_Lora{Lora: &gw.LoraModulationInfo{
		Bandwidth: hertz(rate.Bandwidth), SpreadingFactor: uint32(rate.SpreadingFactor), CodeRate: gw.CodeRate_CR_4_5,
		PolarizationInversion: true,
	}}}
}

func fsk(rate lorawan.DataRate) *gw.FskModulationInfo {
	return &gw.FskModulationInfo{Datarate: uint32(rate.BitRate), FrequencyDeviation: uint32(rate.BitRate / 2)}
}

// hertz returns a bandwidth in Hz; those of the 2.4 GHz band are no whole numbers of kHz.
func hertz(kilohertz int) uint32 {
	switch kilohertz {
	case 203:
		return 203_125
	case 406:
		return 406_250
	case 812:
		return 812_500
	}
	return uint32(kilohertz) * 1000
}

// legacyFrame is a command of v3. What is its token now has the place of the number that v4 gives.
func (f *bridgeForm) legacyFrame(eui []byte, id [16]byte, d lorawan.Downlink) *gw.DownlinkFrame {
	frame := &gw.DownlinkFrame{DownlinkId: token(id), DownlinkIdLegacy: id[:], GatewayIdLegacy: eui}
	for _, w := range d.Windows {
		info := &gw.DownlinkTxInfoLegacy{
			GatewayId: eui, Frequency: w.Frequency, Power: int32(w.Power), Board: f.board, Antenna: f.antenna, Context: f.context,
			Timing: gw.DownlinkTiming_DELAY, TimingInfo: &gw.DownlinkTxInfoLegacy_DelayTimingInfo{
				DelayTimingInfo: &gw.DelayTimingInfo{Delay: durationpb.New(w.Delay)},
			},
		}
		if w.DataRate.BitRate > 0 {
			info.Modulation = common.Modulation_FSK
			info.ModulationInfo = &gw.DownlinkTxInfoLegacy_FskModulationInfo{FskModulationInfo: fsk(w.DataRate)}
		} else {
			info.Modulation = common.Modulation_LORA
			info.ModulationInfo = &gw.DownlinkTxInfoLegacy_LoraModulationInfo{LoraModulationInfo: &gw.LoraModulationInfo{
				Bandwidth: uint32(w.DataRate.Bandwidth), SpreadingFactor: uint32(w.DataRate.SpreadingFactor),
				CodeRateLegacy: codeRate, PolarizationInversion: true,
			}}
		}
		frame.Items = append(frame.Items, &gw.DownlinkFrameItem{PhyPayload: d.PHY, TxInfoLegacy: info})
	}
	return frame
}

const codeRate = "4/5" // of all LoRaWAN

// token is what a packet forwarder gets to tell answers apart by, 16 bits of it.
func token(id [16]byte) uint32 { return uint32(binary.BigEndian.Uint16(id[:])) }

// The JSON of v3, whose names the protobuf of v4 has no longer.
type (
	legacyCommand struct {
		Token      uint32       `json:"token"`
		DownlinkID []byte       `json:"downlinkID"`
		GatewayID  []byte       `json:"gatewayID"`
		Items      []legacyItem `json:"items"`
	}
	legacyItem struct {
		PHYPayload []byte   `json:"phyPayload"`
		TxInfo     legacyTx `json:"txInfo"`
	}
	legacyTx struct {
		GatewayID  []byte      `json:"gatewayID"`
		Frequency  uint32      `json:"frequency"`
		Power      int         `json:"power"`
		Modulation string      `json:"modulation"`
		LoRa       *legacyLoRa `json:"loRaModulationInfo,omitempty"`
		FSK        *legacyFSK  `json:"fskModulationInfo,omitempty"`
		Board      uint32      `json:"board"`
		Antenna    uint32      `json:"antenna"`
		Timing     string      `json:"timing"`
		DelayInfo  legacyDelay `json:"delayTimingInfo"`
		Context    []byte      `json:"context"`
	}
	legacyLoRa struct {
		Bandwidth             int    `json:"bandwidth"` // kHz
		SpreadingFactor       int    `json:"spreadingFactor"`
		CodeRate              string `json:"codeRate"`
		PolarizationInversion bool   `json:"polarizationInversion"`
	}
	legacyFSK struct {
		FrequencyDeviation int `json:"frequencyDeviation"`
		Datarate           int `json:"datarate"`
	}
	legacyDelay struct {
		Delay string `json:"delay"`
	}
)

func (f *bridgeForm) legacyText(eui []byte, id [16]byte, d lorawan.Downlink) *legacyCommand {
	command := &legacyCommand{Token: token(id), DownlinkID: id[:], GatewayID: eui}
	for _, w := range d.Windows {
		info := legacyTx{
			GatewayID: eui, Frequency: w.Frequency, Power: w.Power, Modulation: "LORA", Board: f.board, Antenna: f.antenna,
			Timing: "DELAY", DelayInfo: legacyDelay{seconds(w.Delay)}, Context: f.context,
		}
		if w.DataRate.BitRate > 0 {
			info.Modulation, info.FSK = "FSK", &legacyFSK{FrequencyDeviation: w.DataRate.BitRate / 2, Datarate: w.DataRate.BitRate}
		} else {
			info.LoRa = &legacyLoRa{w.DataRate.Bandwidth, w.DataRate.SpreadingFactor, codeRate, true}
		}
		command.Items = append(command.Items, legacyItem{d.PHY, info})
	}
	return command
}

// seconds writes a duration as protobuf's JSON does.
func seconds(d time.Duration) string {
	text, _ := json.Marshal(d.Seconds()) // a number
	return string(text) + "s"
}
