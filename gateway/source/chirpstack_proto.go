package source

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/chirpstack/chirpstack/api/go/v4/gw"
	"github.com/chirpstack/chirpstack/api/go/v4/integration"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"belfry/gateway/strictjson"
)

// A decoded object in an uplink takes three levels of protobuf for one of its own.
var protoOptions = proto.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: 3 * strictjson.MaxDepth}

// parseChirpProto reads the protobuf form.
func parseChirpProto(kind string, payload []byte) (chirpEvent, error) {
	var message interface {
		proto.Message
		GetTime() *timestamppb.Timestamp
		GetDeviceInfo() *integration.DeviceInfo
	}
	switch kind {
	case "up":
		message = &integration.UplinkEvent{}
	case "join":
		message = &integration.JoinEvent{}
	case "status":
		message = &integration.StatusEvent{}
	default:
		message = &integration.LogEvent{}
	}
	if err := protoOptions.Unmarshal(payload, message); err != nil {
		return chirpEvent{}, errors.New("neither JSON nor protobuf") // its own error is worded differently at each build
	}
	var e chirpEvent
	e.devEUI = message.GetDeviceInfo().GetDevEui()
	var err error
	if e.time, err = protoTime(message.GetTime()); err != nil {
		return chirpEvent{}, fmt.Errorf("time: %w", err)
	}
	switch m := message.(type) {
	case *integration.UplinkEvent:
		err = e.setUplink(m)
	case *integration.JoinEvent:
		e.deduplication, e.devAddr = m.GetDeduplicationId(), m.GetDevAddr()
	case *integration.StatusEvent:
		err = e.setStatus(m)
	case *integration.LogEvent:
		e.level, e.code = m.GetLevel().String(), m.GetCode().String()
	}
	return e, err
}

func (e *chirpEvent) setUplink(m *integration.UplinkEvent) error {
	if m.GetFPort() > math.MaxUint8 {
		return fmt.Errorf("f_port: %d is above %d", m.GetFPort(), math.MaxUint8)
	}
	e.deduplication, e.devAddr = m.GetDeduplicationId(), m.GetDevAddr()
	e.counter, e.port, e.data = m.GetFCnt(), uint8(m.GetFPort()), m.GetData()
	e.secret = m.GetJoinServerContext() != nil
	if lora, ok := m.GetTxInfo().GetModulation().GetParameters().(*gw.Modulation_Lora); ok {
		e.spread = int(min(lora.Lora.GetSpreadingFactor(), 12))
	}
	for _, info := range m.GetRxInfo() {
		heard, err := protoTime(info.GetGwTime())
		if err != nil {
			return fmt.Errorf("rx_info: gw_time: %w", err)
		}
		snr, err := protoNumber(info.GetSnr())
		if err != nil {
			return fmt.Errorf("rx_info: snr: %w", err)
		}
		e.hear(reception{gateway: info.GetGatewayId(), time: heard, rssi: int(info.GetRssi()), snr: snr})
	}
	return nil
}

func (e *chirpEvent) setStatus(m *integration.StatusEvent) (err error) {
	e.deduplication, e.margin = m.GetDeduplicationId(), int(m.GetMargin())
	e.externalPower, e.batteryUnknown = m.GetExternalPowerSource(), m.GetBatteryLevelUnavailable()
	if e.battery, err = protoNumber(m.GetBatteryLevel()); err != nil {
		return fmt.Errorf("battery_level: %w", err)
	}
	return nil
}

// protoNumber returns the number that the JSON form would have: 6.2, not 6.199999809265137.
func protoNumber(number float32) (float64, error) {
	if wide := float64(number); math.IsNaN(wide) || math.IsInf(wide, 0) {
		return 0, errors.New("not a number")
	}
	return strconv.ParseFloat(strconv.FormatFloat(float64(number), 'g', -1, 32), 64)
}

func protoTime(stamp *timestamppb.Timestamp) (time.Time, error) {
	if stamp == nil {
		return time.Time{}, nil
	}
	if err := stamp.CheckValid(); err != nil {
		return time.Time{}, errors.New("out of range")
	}
	return stamp.AsTime(), nil
}
