package decoders

import (
	"encoding/binary"
	"fmt"
)

// SLS VOLC2180, an outdoor street light controller. Big-endian; the first byte is the command, whatever the port.
//
// Kinds: meter_data (0x58, the answer to a request), meter_trap (0x00, sent by itself), rf_property (0x05, 0x07), join_interval
// (0x3f, 0x41), eprom_erase (0x5e), adaptive_data_rate (0x27, 0x29), commissioning (0x37, 0x39), ldr_count (0x6a). Of two codes
// the first answers a request to read and the second a request to write.
//
//	dimmer         %     250 is full
//	power          W
//	energy         kW.h
//	power_factor   1
//	irms           A
//	vrms           V
//	temperature    Cel   of the controller, in meter_trap only
//	transmit_power dBm, data_rate (1), join_accept_uplink_interval (1), eprom_erase (1), adaptive_data_rate (1), adc_count (1: the
//	               light sensor's raw value)
//
// Commissioning: lat, long (udeg, millionths of a degree), operation_mode, device_mode, alarm_mask (1), time_zone (s); thresholds
// of the alarms: high_voltage, low_voltage (V), high_current, low_current (1: their unit is not published), low_power_factor (%),
// max_light_burn_hour (h), temperature (Cel), all with the ending _alarm_threshold.

func init() { register("sls-volc2180", decodeVOLC2180) }

const (
	volcMeterData     = 15 // bytes
	volcMeterTrap     = 16
	volcCommissioning = 29
)

func decodeVOLC2180(uplink Uplink) (Output, error) {
	payload := uplink.Payload
	if len(payload) == 0 {
		return Output{}, fmt.Errorf("%w: no bytes, the first is the command", ErrMalformed)
	}
	switch command := payload[0]; command {
	case 0x58:
		return volcOutput("meter_data", payload, volcMeterData, volcMeter)
	case 0x00:
		return volcOutput("meter_trap", payload, volcMeterTrap, volcTrap)
	case 0x05, 0x07:
		return volcOutput("rf_property", payload, 3, volcRFProperty)
	case 0x3f, 0x41:
		return volcOutput("join_interval", payload, 3, volcJoinInterval)
	case 0x5e:
		return volcOutput("eprom_erase", payload, 2, volcEpromErase)
	case 0x27, 0x29:
		return volcOutput("adaptive_data_rate", payload, 2, volcAdaptiveDataRate)
	case 0x37, 0x39:
		return volcOutput("commissioning", payload, volcCommissioning, volcCommission)
	case 0x6a:
		return volcOutput("ldr_count", payload, 3, volcLDRCount)
	default:
		return Output{}, fmt.Errorf("%w: command 0x%02x", ErrUnknownKind, command)
	}
}

func volcOutput(kind string, payload []byte, length int, fields func([]byte) []Field) (Output, error) {
	if len(payload) != length {
		return Output{}, fmt.Errorf("%w: %d bytes, a %s message (0x%02x) has %d", ErrMalformed, len(payload), kind, payload[0], length)
	}
	return Output{Kind: kind, Samples: []Sample{{Fields: fields(payload)}}}, nil
}

func volcMeter(b []byte) []Field {
	energy := uint32(b[4])<<16 | uint32(binary.BigEndian.Uint16(b[5:]))
	return append(make([]Field, 0, 7),
		Field{Name: "dimmer", Unit: "%", Value: Number(float64(b[1]) / 2.5)},
		Field{Name: "power", Unit: "W", Value: Number(binary.BigEndian.Uint16(b[2:]))},
		Field{Name: "energy", Unit: "kW.h", Value: Number(float64(energy) / 1000)},
		Field{Name: "power_factor", Unit: "1", Value: Number(float64(binary.BigEndian.Uint16(b[7:])) / 1000)},
		Field{Name: "irms", Unit: "A", Value: Number(float64(binary.BigEndian.Uint16(b[9:])) / 1000)},
		Field{Name: "vrms", Unit: "V", Value: Number(float64(binary.BigEndian.Uint32(b[11:])) / 1000)})
}

func volcTrap(b []byte) []Field {
	// Two's complement: it hangs outdoors, and -5 is not 251.
	return append(volcMeter(b), Field{Name: "temperature", Unit: "Cel", Value: Number(int8(b[15]))})
}

func volcRFProperty(b []byte) []Field {
	return []Field{
		{Name: "transmit_power", Unit: "dBm", Value: Number(b[1])},
		{Name: "data_rate", Unit: "1", Value: Number(b[2])},
	}
}

func volcJoinInterval(b []byte) []Field {
	return []Field{{Name: "join_accept_uplink_interval", Unit: "1", Value: Number(binary.BigEndian.Uint16(b[1:]))}}
}

func volcEpromErase(b []byte) []Field {
	return []Field{{Name: "eprom_erase", Unit: "1", Value: Number(b[1])}}
}

func volcAdaptiveDataRate(b []byte) []Field {
	return []Field{{Name: "adaptive_data_rate", Unit: "1", Value: Number(b[1])}}
}

func volcLDRCount(b []byte) []Field {
	return []Field{{Name: "adc_count", Unit: "1", Value: Number(binary.BigEndian.Uint16(b[1:]))}}
}

func volcCommission(b []byte) []Field {
	return []Field{
		{Name: "lat", Unit: "udeg", Value: Number(int32(binary.BigEndian.Uint32(b[1:])))},
		{Name: "long", Unit: "udeg", Value: Number(int32(binary.BigEndian.Uint32(b[5:])))},
		{Name: "operation_mode", Unit: "1", Value: Number(b[9])},
		{Name: "device_mode", Unit: "1", Value: Number(b[10])},
		// Two's complement, as west of Greenwich it is negative.
		{Name: "time_zone", Unit: "s", Value: Number(int32(binary.BigEndian.Uint32(b[11:])))},
		{Name: "alarm_mask", Unit: "1", Value: Number(binary.BigEndian.Uint16(b[15:]))},
		{Name: "high_voltage_alarm_threshold", Unit: "V", Value: Number(binary.BigEndian.Uint16(b[17:]))},
		{Name: "low_voltage_alarm_threshold", Unit: "V", Value: Number(binary.BigEndian.Uint16(b[19:]))},
		{Name: "high_current_alarm_threshold", Unit: "1", Value: Number(binary.BigEndian.Uint16(b[21:]))},
		{Name: "low_current_alarm_threshold", Unit: "1", Value: Number(binary.BigEndian.Uint16(b[23:]))},
		{Name: "low_power_factor_alarm_threshold", Unit: "%", Value: Number(b[25])},
		{Name: "max_light_burn_hour_alarm_threshold", Unit: "h", Value: Number(binary.BigEndian.Uint16(b[26:]))},
		{Name: "temperature_alarm_threshold", Unit: "Cel", Value: Number(b[28])},
	}
}
