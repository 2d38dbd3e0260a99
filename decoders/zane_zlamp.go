package decoders

import "fmt"

// Zane zLamp, a DALI light controller. The port says what it is: 118 the state of the lamp (2 bytes), 202 the controller's own
// state (1 byte).
//
//	brightness_level  %
//	dali_status       "on" or "off"
//	message           "Device OK" or "Device fault"

func init() { register("zane-zlamp", decodeZLamp) }

const (
	zlampPortLamp   = 118
	zlampPortDevice = 202

	zlampFault = 0xde
)

func decodeZLamp(uplink Uplink) (Output, error) {
	payload := uplink.Payload
	switch {
	case uplink.Port == zlampPortLamp && len(payload) == 2:
		return zlampLamp(payload[0], payload[1]), nil
	case uplink.Port == zlampPortDevice && len(payload) == 1:
		return zlampDevice(payload[0]), nil
	case uplink.Port == zlampPortLamp || uplink.Port == zlampPortDevice:
		return Output{}, fmt.Errorf("%w: %d bytes, a message on port %d has 2, on port %d 1", ErrMalformed, len(payload), zlampPortLamp, zlampPortDevice)
	default:
		return Output{}, fmt.Errorf("%w: port %d, a zLamp sends on %d and %d", ErrUnknownKind, uplink.Port, zlampPortLamp, zlampPortDevice)
	}
}

func zlampLamp(level, status byte) Output {
	text := "off"
	if status&0x0f == 1 {
		text = "on"
	}
	output := Output{Kind: "lamp", Samples: []Sample{{Fields: []Field{
		{Name: "brightness_level", Unit: "%", Value: Number(level)},
		{Name: "dali_status", Value: Text(text)},
	}}}}
	if status > 1 {
		output.Warnings = []string{fmt.Sprintf("status 0x%02x is neither 0 (off) nor 1 (on)", status)}
	}
	return output
}

func zlampDevice(state byte) Output {
	text := "Device OK"
	if state == zlampFault {
		text = "Device fault"
	}
	output := Output{Kind: "device", Samples: []Sample{{Fields: []Field{{Name: "message", Value: Text(text)}}}}}
	if state != 0 && state != zlampFault {
		output.Warnings = []string{fmt.Sprintf("state 0x%02x is neither 0 (no fault) nor 0x%02x (fault)", state, zlampFault)}
	}
	return output
}
