package decoders

import (
	"encoding/hex"
	"fmt"
	"strconv"
)

// Milesight WS558, a light controller that switches eight circuits and meters them together. A message is a list of elements: a
// channel, a type, and a value whose length both imply, little-endian. The port says nothing. An element that is not known ends in
// an error, since where the next one begins is not known either.
//
// Kinds: status (anything measured or switched), device (what a controller says of itself after a start), answer (to a command).
//
//	voltage            V
//	active_power       W
//	power_factor       %
//	power_consumption  W.h
//	total_current      mA
//	switch                  channel n: circuit n, true when on
//
// Device: ipso_version, hardware_version, firmware_version, tsl_version, sn, lorawan_class, reset_event, device_status.
//
// Answer: reboot, report_status, clear_power_consumption (true: will be done), report_interval (s), power_consumption_enable,
// cancel_delay_task (number of the task), delay_task_id, delay_time (s), delay_task_switch (channel n: what circuit n will become).

func init() { register("milesight-ws558", decodeWS558) }

const ws558Circuits = 8

// ws558Frame collects what one message says.
type ws558Frame struct {
	reader
	fields []Field
	kind   string
}

func decodeWS558(uplink Uplink) (Output, error) {
	if err := checkRadioLength(uplink.Payload); err != nil {
		return Output{}, err
	}
	f := &ws558Frame{reader: reader{payload: uplink.Payload}, fields: make([]Field, 0, 14)}
	for first := true; first || f.more(); first = false {
		f.part = "channel and type of an element"
		channel, kind := f.uint8(), f.uint8()
		if f.err != nil {
			break
		}
		f.part = "value of the element"
		if !f.reading(channel, kind) && !f.device(channel, kind) && !f.answer(channel, kind) {
			f.fail(fmt.Errorf("%w: element %02x%02x at byte %d", ErrUnknownKind, channel, kind, f.at-2))
		}
	}
	if f.err != nil {
		return Output{}, f.err
	}
	return Output{Kind: f.kind, Samples: []Sample{{Fields: f.fields}}}, nil
}

func (f *ws558Frame) number(name, unit string, value float64) {
	f.fields = append(f.fields, Field{Name: name, Unit: unit, Value: Number(value)})
}

func (f *ws558Frame) flag(name string, channel int, value bool) {
	f.fields = append(f.fields, Field{Name: name, Channel: channel, Value: Bool(value)})
}

func (f *ws558Frame) text(name, value string) {
	f.fields = append(f.fields, Field{Name: name, Value: Text(value)})
}

// is sets the kind of the message; a reading outweighs what else there is.
func (f *ws558Frame) is(kind string) {
	if f.kind == "" || kind == "status" {
		f.kind = kind
	}
}

// reading reads an element that was measured; false if it is another one.
func (f *ws558Frame) reading(channel, kind byte) bool {
	switch uint16(channel)<<8 | uint16(kind) {
	case 0x0374:
		f.number("voltage", "V", float64(f.uint16())/10)
	case 0x0480:
		f.number("active_power", "W", float64(f.uint32()))
	case 0x0581:
		f.number("power_factor", "%", float64(f.uint8()))
	case 0x0683:
		f.number("power_consumption", "W.h", float64(f.uint32()))
	case 0x07c9:
		f.number("total_current", "mA", float64(f.uint16()))
	case 0x0831:
		f.take(1) // not a state; all circuits are reported whatever it is
		states := f.uint8()
		for i := range ws558Circuits {
			f.flag("switch", i+1, states>>i&1 != 0)
		}
	default:
		return false
	}
	f.is("status")
	return true
}

// device reads an element about the controller itself; false if it is another one.
func (f *ws558Frame) device(channel, kind byte) bool {
	if channel != 0xff {
		return false
	}
	switch kind {
	case 0x01:
		version := f.uint8()
		f.text("ipso_version", ws558Version(version>>4, version&0x0f))
	case 0x09:
		major, minor := f.uint8(), f.uint8()
		f.text("hardware_version", ws558Version(major, minor>>4))
	case 0x0a:
		f.text("firmware_version", ws558Version(f.uint8(), f.uint8()))
	case 0xff:
		f.text("tsl_version", ws558Version(f.uint8(), f.uint8()))
	case 0x16:
		f.text("sn", hex.EncodeToString(f.take(8)))
	case 0x0f:
		f.text("lorawan_class", ws558Class(f.uint8()))
	case 0xfe:
		f.take(1)
		f.text("reset_event", "reset")
	case 0x0b:
		f.take(1)
		f.text("device_status", "on")
	default:
		return false
	}
	f.is("device")
	return true
}

func ws558Version(major, minor byte) string {
	return "v" + strconv.Itoa(int(major)) + "." + strconv.Itoa(int(minor))
}

func ws558Class(class byte) string {
	classes := [...]string{"Class A", "Class B", "Class C", "Class CtoB"}
	if int(class) < len(classes) {
		return classes[class]
	}
	return "unknown"
}

// answer reads what a controller confirms of a command; false if it is another element.
func (f *ws558Frame) answer(channel, kind byte) bool {
	if channel != 0xff && channel != 0xfe {
		return false
	}
	switch kind {
	case 0x03:
		f.number("report_interval", "s", float64(f.uint16()))
	case 0x10:
		f.take(1)
		f.flag("reboot", 0, true)
	case 0x23:
		f.number("cancel_delay_task", "1", float64(f.uint8()))
		f.take(1)
	case 0x26:
		if enable := f.uint8(); enable <= 1 {
			f.flag("power_consumption_enable", 0, enable == 1)
		} else {
			f.fail(fmt.Errorf("%w: metering is neither enabled nor disabled but %d", ErrMalformed, enable))
		}
	case 0x27:
		f.take(1)
		f.flag("clear_power_consumption", 0, true)
	case 0x28:
		f.take(1)
		f.flag("report_status", 0, true)
	case 0x32:
		f.delayTask()
	default:
		return false
	}
	f.is("answer")
	return true
}

func (f *ws558Frame) delayTask() {
	f.number("delay_task_id", "1", float64(f.uint8()))
	f.number("delay_time", "s", float64(f.uint16()))
	concerned, states := f.uint8(), f.uint8()
	for i := range ws558Circuits {
		if concerned>>i&1 != 0 {
			f.flag("delay_task_switch", i+1, states>>i&1 != 0)
		}
	}
}
