package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// size is a number of bytes, written with a unit.
type size int64

var sizeUnits = []struct {
	name  string
	bytes float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, // last: all end in it
}

// UnmarshalText reads "512MiB", "1.5 GiB" or "20GB".
func (s *size) UnmarshalText(text []byte) error {
	written := string(text)
	for _, unit := range sizeUnits {
		count, ok := strings.CutSuffix(written, unit.name)
		if !ok {
			continue
		}
		number, err := strconv.ParseFloat(strings.TrimSpace(count), 64)
		bytes := number * unit.bytes
		if err != nil || !(bytes >= 0 && bytes < math.MaxInt64) {
			break
		}
		*s = size(bytes)
		return nil
	}
	if _, err := strconv.ParseFloat(written, 64); err == nil {
		return fmt.Errorf("%s has no unit, want a size such as 512MiB or 1GiB", written)
	}
	return fmt.Errorf("got %q, want a size such as 512MiB or 1GiB", written)
}
