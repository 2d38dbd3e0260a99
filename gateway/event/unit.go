package event

import (
	"math"
	"strconv"
)

// conversion is value*factor + offset.
type conversion struct{ factor, offset float64 }

// conversions lead from a unit to one of the vocabulary's units, both in UCUM.
var conversions = map[[2]string]conversion{
	{"kW.h", "W.h"}: {1000, 0}, {"MW.h", "W.h"}: {1e6, 0}, {"kW", "W"}: {1000, 0}, {"mW", "W"}: {1e-3, 0},
	{"mV", "V"}: {1e-3, 0}, {"kV", "V"}: {1000, 0}, {"mA", "A"}: {1e-3, 0},
	{"m3", "L"}: {1000, 0}, {"hL", "L"}: {100, 0}, {"dL", "L"}: {0.1, 0}, {"cL", "L"}: {0.01, 0}, {"mL", "L"}: {1e-3, 0},
	{"[gal_us]", "L"}: {3.785411784, 0}, {"[cft_i]", "L"}: {28.316846592, 0},
	{"m3/h", "L/h"}: {1000, 0}, {"L/min", "L/h"}: {60, 0}, {"L/s", "L/h"}: {3600, 0}, {"mL/h", "L/h"}: {1e-3, 0},
	{"cm", "mm"}: {10, 0}, {"dm", "mm"}: {100, 0}, {"m", "mm"}: {1000, 0}, {"[in_i]", "mm"}: {25.4, 0},
	{"K", "Cel"}: {1, -273.15}, {"[degF]", "Cel"}: {5.0 / 9, -160.0 / 9}, {"dCel", "Cel"}: {0.1, 0}, {"cCel", "Cel"}: {0.01, 0},
	{"Pa", "kPa"}: {1e-3, 0}, {"hPa", "kPa"}: {0.1, 0}, {"mbar", "kPa"}: {0.1, 0}, {"bar", "kPa"}: {100, 0},
	{"Pa", "hPa"}: {0.01, 0}, {"kPa", "hPa"}: {10, 0}, {"mbar", "hPa"}: {1, 0},
	{"s", "h"}: {1.0 / 3600, 0}, {"min", "h"}: {1.0 / 60, 0}, {"d", "h"}: {24, 0},
	{"g", "kg"}: {1e-3, 0}, {"t", "kg"}: {1000, 0}, {"mHz", "Hz"}: {1e-3, 0}, {"klx", "lx"}: {1000, 0},
	{"1", "%"}: {100, 0}, {"%", "1"}: {0.01, 0}, {"rad", "deg"}: {180 / math.Pi, 0}, {"[ppb]", "ppm"}: {1e-3, 0},
	{"[ppm]", "ppm"}: {1, 0},
}

// convert turns a number into another unit; false when the units do not fit. No unit at all is taken as the right one.
func convert(number float64, from, to string) (float64, bool) {
	if from == to || from == "" {
		return number, true
	}
	c, ok := conversions[[2]string{from, to}]
	if !ok {
		return 0, false
	}
	return round(number*c.factor + c.offset), true
}

// round takes away what binary arithmetic added: 4.35 m * 100 is 435 cm, not 434.99999999999994.
func round(number float64) float64 {
	var buffer [32]byte
	rounded, err := strconv.ParseFloat(string(strconv.AppendFloat(buffer[:0], number, 'g', 12, 64)), 64)
	if err != nil {
		return number
	}
	return rounded
}
