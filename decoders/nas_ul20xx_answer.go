package decoders

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// answer reads what a UL20xx answers to a command, on port 60. Levels that it was told are not levels that it measured and
// have a name of their own.
//
//	driver_status, manual_dimming, custom_query, custom_command, dim_map, interfaces, memory_read, memory_write,
//	timed_dimming, address_driver, identify, open_drain_output
func (f *nasFrame) answer() (Output, error) {
	command := f.uint8()
	f.part = fmt.Sprintf("answer to command 0x%02x", command)
	switch {
	case f.err != nil:
		return Output{}, f.err
	case command == 0x00:
		f.reserve(f.left() / 2 * 8)
		f.drivers()
		return f.output("driver_status")
	case command == 0x01 || command == 0x09:
		return f.dimming(command == 0x09)
	case command == 0x03:
		f.hex("query_data", f.nonEmpty())
		return f.output("custom_query")
	case command == 0x04:
		f.hex("dali_command", f.nonEmpty())
		return f.output("custom_command")
	case command == 0x05:
		return f.dimMap()
	case command == 0x06:
		return f.interfaces()
	case command == 0x07 || command == 0x08:
		return f.driverMemory(command == 0x07)
	case command == 0x0a:
		f.address("address")
		return f.output("address_driver")
	case command == 0x0b:
		return f.output("identify")
	case command == 0x0c:
		f.flag("open_drain_output_on", 1, f.uint8()&1 != 0)
		return f.output("open_drain_output")
	default:
		return Output{}, fmt.Errorf("%w: answer to command 0x%02x on port 60", ErrUnknownKind, command)
	}
}

// nonEmpty takes the rest of the payload, at least one byte.
func (f *nasFrame) nonEmpty() []byte { return f.take(max(1, f.left())) }

func (f *nasFrame) hex(name string, b []byte) {
	f.text(name, 1, strings.ToUpper(hex.EncodeToString(b)))
}

// address reads an address and gives it as a text.
func (f *nasFrame) address(name string) {
	switch address := f.uint8(); {
	case f.err != nil:
	case address == 0x01:
		f.text(name, 1, "analog")
	case address == 0xfe:
		f.text(name, 1, "broadcast")
	case address == nasAllAddresses:
		f.text(name, 1, "all")
	default:
		if channel, ok := f.channel(address); ok && channel < nasGroups {
			f.text(name, 1, fmt.Sprintf("short %d", channel-2))
		} else if ok {
			f.text(name, 1, fmt.Sprintf("group %d", channel-nasGroups))
		}
	}
}

func (f *nasFrame) dimming(timed bool) (Output, error) {
	kind := "manual_dimming"
	if timed {
		kind = "timed_dimming"
	}
	for first := true; first || f.more(); first = false {
		address, level := f.uint8(), f.uint8()
		channel, ok := f.ownChannel(address)
		if ok && level != nasNotSet {
			f.number("commanded_level", channel, "%", float64(level))
		}
		if ok && level == nasNotSet {
			f.flag("resumed", channel, true)
		}
		if !timed {
			continue
		}
		if minutes := f.uint8(); ok {
			f.number("commanded_duration", channel, "min", float64(minutes))
		}
	}
	return f.output(kind)
}

func (f *nasFrame) dimMap() (Output, error) {
	requested := f.uint8()
	f.flag("usage_requested", 1, requested&0x01 != 0)
	f.flag("status_requested", 1, requested&0x02 != 0)
	f.flag("dim_map_requested", 1, requested&0x04 != 0)
	f.flag("location_requested", 1, requested&0x08 != 0)
	for requested&0x04 != 0 && f.more() {
		address, lowest, highest, curve := f.uint8(), f.uint8(), f.uint8(), f.uint8()
		channel, ok := f.channel(address)
		if !ok {
			continue
		}
		f.number("dali_min_level", channel, "1", float64(lowest))
		f.number("dali_max_level", channel, "1", float64(highest))
		f.flag("linear_dimming_curve", channel, curve != 0)
	}
	return f.output("dim_map")
}

// interfaces reads four pairs of interface number and state (firmware 1.0); the third is no longer used.
func (f *nasFrame) interfaces() (Output, error) {
	states := f.take(8)
	switch {
	case states == nil:
		return Output{}, f.err
	case states[0] != 1 || states[2] != 2 || states[4] != 3 || states[6] != 4:
		return Output{}, fmt.Errorf("%w: interfaces %d, %d, %d, %d instead of 1 to 4", ErrMalformed, states[0], states[2], states[4], states[6])
	case states[1] > 1 && states[1] != nasNotSet:
		return Output{}, fmt.Errorf("%w: digital input 0x%02x is neither on, off nor missing", ErrMalformed, states[1])
	}
	if states[1] != nasNotSet {
		f.flag("dig_input_on", 1, states[1] == 1)
	}
	if states[3] != nasNotSet {
		f.number("ldr_input", 1, "1", float64(states[3]))
	}
	f.flag("internal_relay_closed", 1, states[7]&0x01 != 0)
	f.flag("open_drain_output_on", 1, states[7]&0x02 != 0)
	return f.output("interfaces")
}

// driverMemory reads what a memory bank of a driver holds. With nothing behind the command it could not be reached.
func (f *nasFrame) driverMemory(read bool) (Output, error) {
	kind := "memory_write"
	if read {
		kind = "memory_read"
	}
	f.flag("driver_answered", 1, f.left() > 0)
	if f.left() == 0 {
		return f.output(kind)
	}
	f.address("address")
	f.number("memory_bank", 1, "1", float64(f.uint8()))
	f.number("memory_address", 1, "1", float64(f.uint8()))
	if !read {
		f.hex("memory_value", f.nonEmpty())
		return f.output(kind)
	}
	size := int(f.uint8())
	f.number("memory_size", 1, "By", float64(size))
	if f.more() {
		f.hex("memory_value", f.take(size))
	}
	return f.output(kind)
}
