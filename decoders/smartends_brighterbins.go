package decoders

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// SmartEnds BrighterBins, a fill level sensor in a waste container. Fields are packed bit by bit, most significant bit first; the
// last two bits are the type of the message, in type 3 the three bits before them its sub-type, in sub-type 7 the three before
// those its extension. The port says nothing.
//
// Kinds: fill_level (type 0), distance (1), system (2), and of type 3: standard (0), pickup (1), system_status (3), depth_map (4),
// fill (5), raw_points (6), points (7, extension 0), history (7, extension 1).
//
//	fill_level, battery_level       %    left out when the sensor does not know them
//	temperature                     Cel
//	distance                        cm   from the sensor down to the content
//	distance_fault, distance_error       with every distance or instead of it; the error says why there is none
//	x_orientation, y_orientation, z_orientation  deg
//	fire_alarm, tamper_event, pickup_event, pickup_alert, downlink_validity, tx_reason, reset_reason
//	point                           1    channel n: the n-th point of a depth map, in the sensor's own steps
//	measurement_interval            1    in a unit that is not published, as are runtime and total_runtime
//	motion_orientation, motion_deviation  deg    motion_duration  s
//
// System: hardware_version, software_version, no_of_downlinks, downlink_freq, total_reset_count, runtime or total_runtime,
// configs_test, communication_test, distance_test, acceleration_test, temperature_test (true: passed), battery_voltage (V).
//
// A history has one sample for each distance and each motion, dated by the age that the sensor gives (steps of 169 s and of
// 1.32 s), and one of now; without a time of receipt the past cannot be dated and is left out. The orientations in it are left out:
// six bits in steps of 6 degrees, as published, would reach beyond a half turn.
//
// Depth maps have six reserved bits before or after battery and temperature; what is published disagrees on it. They are found by
// being zero; when that does not tell, both values are left out.

func init() { register("smartends-brighterbins", decodeBrighterBins) }

const (
	binsFillUnknown     = 127
	binsBatteryUnknown  = 63
	binsModuleSilent    = 511
	binsBadLaserSetting = 510

	binsDistanceStep = 169 * time.Second
	binsMotionStep   = 1320 * time.Millisecond
)

// binsFrame reads bits of a message and collects what they say.
type binsFrame struct {
	payload  []byte
	fields   []Field
	warnings []string
}

func decodeBrighterBins(uplink Uplink) (Output, error) {
	payload := uplink.Payload
	if err := checkRadioLength(payload); err != nil {
		return Output{}, err
	}
	if len(payload) == 0 {
		return Output{}, fmt.Errorf("%w: no bytes, the type of a message is in the last", ErrMalformed)
	}
	f := &binsFrame{payload: payload}
	switch last := payload[len(payload)-1]; last & 3 {
	case 0:
		return f.read("fill_level", 3, (*binsFrame).fillLevel)
	case 1:
		return f.read("distance", 3, (*binsFrame).plainDistance)
	case 2:
		return f.read("system", 12, (*binsFrame).system)
	default:
		return f.extended(uplink, last>>2&7)
	}
}

func (f *binsFrame) extended(uplink Uplink, subtype byte) (Output, error) {
	switch subtype {
	case 0:
		return f.read("standard", 9, (*binsFrame).standard)
	case 1:
		return f.read("pickup", 12, (*binsFrame).pickup)
	case 3:
		return f.read("system_status", 9, (*binsFrame).systemStatus)
	case 4:
		return f.read("depth_map", 11, (*binsFrame).depthMap)
	case 5:
		return f.read("fill", 9, (*binsFrame).standardFill)
	case 6:
		return f.read("raw_points", 11, (*binsFrame).depthMap)
	case 7:
		switch extension := f.payload[len(f.payload)-1] >> 5; extension {
		case 0:
			return f.points()
		case 1:
			return f.history(uplink.Received)
		default:
			return Output{}, fmt.Errorf("%w: extension %d of sub-type 7 (there are 0 and 1)", ErrUnknownKind, extension)
		}
	default:
		return Output{}, fmt.Errorf("%w: sub-type %d of type 3", ErrUnknownKind, subtype)
	}
}

func (f *binsFrame) read(kind string, length int, fields func(*binsFrame)) (Output, error) {
	if err := f.check(kind, length); err != nil {
		return Output{}, err
	}
	f.fields = make([]Field, 0, length+1)
	fields(f)
	return Output{Kind: kind, Samples: []Sample{{Fields: f.fields}}, Warnings: f.warnings}, nil
}

func (f *binsFrame) check(kind string, length int) error {
	if len(f.payload) != length {
		return fmt.Errorf("%w: %d bytes, this %s message has %d", ErrMalformed, len(f.payload), kind, length)
	}
	return nil
}

// bits returns up to 16 bits from a bit on.
func (f *binsFrame) bits(from, count int) int {
	window, last := 0, from+count-1
	for _, b := range f.payload[from/8 : last/8+1] {
		window = window<<8 | int(b)
	}
	return window >> (7 - last%8) & (1<<count - 1)
}

// back returns the bits that begin so many bits before the end.
func (f *binsFrame) back(from, count int) int { return f.bits(8*len(f.payload)-from, count) }

func (f *binsFrame) number(name, unit string, value int) {
	f.fields = append(f.fields, Field{Name: name, Unit: unit, Value: Number(value)})
}

func (f *binsFrame) flag(name string, value int) {
	f.fields = append(f.fields, Field{Name: name, Value: Bool(value != 0)})
}

func (f *binsFrame) text(name, value string) {
	f.fields = append(f.fields, Field{Name: name, Value: Text(value)})
}

// choice gives the name of a number; every number has one.
func (f *binsFrame) choice(name string, names []string, number int) {
	if number < len(names) {
		f.text(name, names[number])
	} else {
		f.text(name, "UNKNOWN")
	}
}

func (f *binsFrame) battery(raw int) {
	if raw != binsBatteryUnknown {
		f.number("battery_level", "%", 2*raw)
	}
}

func (f *binsFrame) temperature(raw int) { f.number("temperature", "Cel", raw-40) }

func (f *binsFrame) fill(raw int) {
	if raw != binsFillUnknown {
		f.number("fill_level", "%", raw)
	}
}

func (f *binsFrame) distance(raw int) {
	switch raw {
	case binsModuleSilent:
		f.flag("distance_fault", 1)
		f.text("distance_error", "SENSOR_MODULE_NOT_RESPONDING")
	case binsBadLaserSetting:
		f.flag("distance_fault", 1)
		f.text("distance_error", "LASER_SENSOR_INVALID_CONFIGURATIONS")
	default:
		f.number("distance", "cm", raw)
		f.flag("distance_fault", 0)
	}
}

// orientation reads three times five bits, in steps of six degrees.
func (f *binsFrame) orientation(from int) {
	f.number("z_orientation", "deg", 6*f.bits(from, 5)-90)
	f.number("y_orientation", "deg", 6*f.bits(from+5, 5)-90)
	f.number("x_orientation", "deg", 6*f.bits(from+10, 5)-90)
}

var (
	binsResetReasons = []string{"CLEARED", "POWER_OR_BROWNOUT", "WATCH_DOG", "SOFTWARE/OTHER_RESETS", "PIN_RESET", "CPU_LOCKUP",
		"SYS_OFF_GPIO", "VBUS", "SYS_OFF_LPCOM", "DEBUG_INTERFACE", "NFC", "SILENT_RESET_DOWNLINK", "RECOVERY_TIMEOUT",
		"RECOVERY_OVERFLOW", "RECOVERY_TIMEOUT_OVERFLOW"}
	binsDownlinks    = []string{"DOWNLINK_NOT_RESEVED", "DOWNLINK_SUCCSESFUL", "DOWNLINK_BOUND_ERROR", "DOWNLINK_PROCESSING_FAILED"} // sic
	binsPickupAlerts = []string{"NONE", "MOTION", "FILL_LEVEL_PERCENTAGE", "MOTION_AND_FILL_LEVEL"}
	binsTxReasons    = []string{"OTHER", "FIRST", "TIME_UPDATE", "BOTH_CHANGE", "POSITIV_CHANGE", "NEGATIVE_CHANGE", "TRANSMIT_INTERVAL",
		"MOTION_EVENT_BUFFER_FULL", "MOTION_EVENT_PICKUP", "MOTION_EVENT_FIRE_ALARM", "MOTION_EVENT_TAMPER"}
)

func (f *binsFrame) fillLevel() {
	f.choice("reset_reason", binsResetReasons, f.bits(0, 2))
	f.battery(f.bits(2, 6))
	f.temperature(f.bits(8, 7))
	f.fill(f.bits(15, 7))
}

func (f *binsFrame) plainDistance() {
	f.battery(f.bits(0, 6))
	f.temperature(f.bits(6, 7))
	f.distance(f.bits(13, 9))
}

// system begins with the lower half of the DevEUI.
func (f *binsFrame) system() {
	f.number("hardware_version", "1", f.bits(30, 6))
	f.text("software_version", strconv.Itoa(f.bits(42, 2))+"."+strconv.Itoa(f.bits(36, 6))+"."+strconv.Itoa(f.bits(44, 6)))
	f.number("no_of_downlinks", "1", f.bits(50, 2))
	f.number("downlink_freq", "1", f.bits(52, 2))
	f.number("total_reset_count", "1", f.bits(54, 7))
	f.number("runtime", "1", f.bits(61, 12))
	f.flag("communication_test", f.bits(74, 1))
	f.flag("distance_test", f.bits(76, 1))
	f.flag("temperature_test", f.bits(77, 1))
	f.battery(f.bits(81, 6))
	f.fields = append(f.fields, Field{Name: "battery_voltage", Unit: "V", Value: Number(float64(22+f.bits(87, 4)) / 10)})
	f.choice("reset_reason", binsResetReasons, f.bits(91, 2))
}

func (f *binsFrame) standardHead() {
	f.orientation(27)
	f.choice("downlink_validity", binsDownlinks, f.bits(42, 2))
	f.battery(f.bits(44, 6))
	f.temperature(f.bits(50, 7))
}

func (f *binsFrame) standard() {
	f.standardHead()
	f.distance(f.bits(57, 9))
}

func (f *binsFrame) standardFill() {
	f.standardHead()
	f.fill(f.bits(59, 7))
}

func (f *binsFrame) pickup() {
	f.flag("tamper_event", f.bits(48, 1))
	f.orientation(49)
	f.flag("fire_alarm", f.bits(64, 1))
	f.choice("pickup_alert", binsPickupAlerts, f.bits(65, 2))
	f.flag("pickup_event", f.bits(67, 1))
	f.battery(f.bits(68, 6))
	f.temperature(f.bits(74, 7))
	f.distance(f.bits(81, 9))
}

func (f *binsFrame) systemStatus() {
	f.number("hardware_version", "1", f.bits(16, 8))
	f.text("software_version", strconv.Itoa(f.bits(24, 16)))
	f.number("total_runtime", "1", f.bits(40, 11))
	f.number("total_reset_count", "1", f.bits(51, 6))
	f.flag("configs_test", f.bits(58, 1))
	f.flag("communication_test", f.bits(59, 1))
	f.flag("distance_test", f.bits(60, 1))
	f.flag("acceleration_test", f.bits(61, 1))
	f.flag("temperature_test", f.bits(62, 1))
	f.choice("reset_reason", binsResetReasons, f.bits(63, 4))
}

// depths reads bytes from the front; the last one is point 1.
func (f *binsFrame) depths(count int) {
	for i, depth := range f.payload[:count] {
		f.fields = append(f.fields, Field{Name: "point", Channel: count - i, Unit: "1", Value: Number(depth)})
	}
}

func (f *binsFrame) depthMap() {
	f.depths(8)
	before, after := f.bits(64, 6) == 0, f.bits(77, 6) == 0
	switch {
	case before == after:
		f.warnings = append(f.warnings, "left out battery and temperature, the reserved bits do not say where they are")
	case before:
		f.battery(f.bits(70, 6))
		f.temperature(f.bits(76, 7))
	default:
		f.battery(f.bits(64, 6))
		f.temperature(f.bits(70, 7))
	}
}

func (f *binsFrame) points() (Output, error) {
	const tail = 5 // bytes
	if len(f.payload) < tail {
		return Output{}, fmt.Errorf("%w: %d bytes, a points message has at least %d", ErrMalformed, len(f.payload), tail)
	}
	count := f.back(38, 6)
	if err := f.check("points", count+tail); err != nil {
		return Output{}, err
	}
	f.fields = make([]Field, 0, count+3)
	f.depths(count)
	f.number("measurement_interval", "1", f.back(32, 11))
	f.battery(f.back(21, 6))
	f.temperature(f.back(15, 7))
	return Output{Kind: "points", Samples: []Sample{{Fields: f.fields}}}, nil
}

// history is read from the end: 64 bits of now, 43 for each distance, 34 for each motion.
func (f *binsFrame) history(received time.Time) (Output, error) {
	const now, distanceBits, motionBits = 64, 43, 34
	if len(f.payload) < now/8 {
		return Output{}, fmt.Errorf("%w: %d bytes, a history message has at least %d", ErrMalformed, len(f.payload), now/8)
	}
	distances, motions := f.back(58, 6), f.back(64, 6)
	if err := f.check("history", (now+distances*distanceBits+motions*motionBits+7)/8); err != nil {
		return Output{}, err
	}
	f.fields = make([]Field, 0, 6+3*(distances+motions))
	f.flag("fire_alarm", f.back(9, 1))
	f.choice("pickup_alert", binsPickupAlerts, f.back(11, 2))
	f.battery(f.back(17, 6))
	f.flag("tamper_event", f.back(18, 1))
	f.choice("downlink_validity", binsDownlinks, f.back(20, 2))
	f.choice("tx_reason", binsTxReasons, f.back(52, 4))
	current := Sample{Fields: f.fields[:len(f.fields):len(f.fields)]}
	if distances+motions == 0 || received.IsZero() {
		if distances+motions > 0 {
			f.warnings = append(f.warnings, "left out the history, which cannot be dated without a time of receipt")
		}
		return Output{Kind: "history", Samples: []Sample{current}, Warnings: f.warnings}, nil
	}
	current.Time = received.UTC()
	samples := make([]Sample, 0, 1+distances+motions)
	at := now
	for range distances {
		age := time.Duration(f.back(at+9, 9)) * binsDistanceStep
		first := len(f.fields)
		f.temperature(f.back(at+34, 7))
		f.distance(f.back(at+43, 9))
		samples = append(samples, Sample{Time: current.Time.Add(-age), Fields: f.fields[first:len(f.fields):len(f.fields)]})
		at += distanceBits
	}
	for range motions {
		age := time.Duration(f.back(at+16, 16)) * binsMotionStep
		first := len(f.fields)
		f.number("motion_orientation", "deg", 3*f.back(at+22, 6))
		f.number("motion_deviation", "deg", 3*f.back(at+28, 6))
		f.number("motion_duration", "s", 3*f.back(at+34, 6))
		samples = append(samples, Sample{Time: current.Time.Add(-age), Fields: f.fields[first:len(f.fields):len(f.fields)]})
		at += motionBits
	}
	samples = append(samples, current)
	slices.SortStableFunc(samples, func(a, b Sample) int { return a.Time.Compare(b.Time) })
	return Output{Kind: "history", Samples: samples, Warnings: f.warnings}, nil
}
