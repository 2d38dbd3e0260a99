package demo

import (
	"fmt"
	"math"
	"time"
)

// spreading is the spreading factor of a data rate of EU868, at 125 kHz.
func spreading(rate uint8) int { return 12 - int(min(rate, 5)) }

// dataRate is its name in the packet forwarder's protocol.
func dataRate(rate uint8) string { return fmt.Sprintf("SF%dBW125", spreading(rate)) }

// parseDataRate is the reverse of dataRate.
func parseDataRate(text string) (rate uint8, ok bool) {
	for rate := range uint8(6) {
		if dataRate(rate) == text {
			return rate, true
		}
	}
	return 0, false
}

// airtime is how long a frame takes (Semtech AN1200.13: 125 kHz, coding rate 4/5, explicit header, 8 symbols of preamble).
func airtime(rate uint8, bytes int) time.Duration {
	sf := spreading(rate)
	symbol := time.Duration(1<<sf) * 8 * time.Microsecond
	reduced := 0
	if sf >= 11 {
		reduced = 2
	}
	blocks := math.Ceil(float64(8*bytes-4*sf+28+16) / float64(4*(sf-reduced)))
	symbols := 8 + 4.25 + 8 + max(blocks, 0)*5
	return time.Duration(symbols * float64(symbol))
}
