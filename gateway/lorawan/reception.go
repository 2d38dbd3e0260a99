package lorawan

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Reception is one frame as one radio gateway heard it.
type Reception struct {
	Gateway   string // EUI of the radio gateway, 16 hexadecimal digits in lower case
	PHY       []byte // the PHYPayload; not changed and kept until it is settled
	Frequency uint32 // Hz
	DataRate  DataRate
	RSSI      int     // dBm
	SNR       float64 // dB

	Received time.Time // when it came in at this box
	Time     time.Time // when the frame was heard, by the radio gateway's GPS or network time; zero when it gave none
	GPS      bool      // Time is GPS time

	// Transmit sends an answer through this radio gateway; nil when it cannot send. It must not block for long, and is
	// called by a feed's goroutine: that of its own source or of another, and perhaps when the Run of its source is over.
	Transmit func(d Downlink) error
}

// Downlink is one frame for a class A device, which listens in two windows after its uplink.
type Downlink struct {
	DevEUI  string // whose it is, 16 hexadecimal digits in lower case
	PHY     []byte // the PHYPayload, encrypted
	Windows []Window
}

// Window is when and how a class A device listens. The first of a Downlink's windows is to be used; the others only when
// the radio gateway refuses those before.
type Window struct {
	Delay     time.Duration // after the end of the uplink
	Frequency uint32        // Hz
	DataRate  DataRate
	Power     int // dBm, as the band allows (ERP or EIRP by the region)
}

// DataRate is how a frame is modulated. Exactly one of SpreadingFactor, BitRate and OccupiedWidth is set.
type DataRate struct {
	SpreadingFactor int    // LoRa: 5..12
	Bandwidth       int    // LoRa: kHz
	BitRate         int    // FSK: bit/s
	OccupiedWidth   int    // LR-FHSS: occupied channel width in Hz
	CodingRate      string // LR-FHSS: "1/3" or, as the band's plan calls 2/3, "4/6"
}

// ParseDataRate reads the form of the packet forwarder for LoRa, "SF7BW125".
func ParseDataRate(text string) (DataRate, error) {
	spread, width, ok := strings.Cut(strings.TrimPrefix(text, "SF"), "BW")
	sf, err := strconv.Atoi(spread)
	bw, err2 := strconv.Atoi(width)
	if !ok || !strings.HasPrefix(text, "SF") || err != nil || err2 != nil || sf < 5 || sf > 12 || bw < 1 || bw > 2000 {
		return DataRate{}, fmt.Errorf("%.20q is not a data rate such as SF7BW125", text)
	}
	return DataRate{SpreadingFactor: sf, Bandwidth: bw}, nil
}

// String prints the data rate: SF7BW125, 50000 or LR-FHSS 137000 Hz 1/3.
func (d DataRate) String() string {
	switch {
	case d.SpreadingFactor > 0:
		return fmt.Sprintf("SF%dBW%d", d.SpreadingFactor, d.Bandwidth)
	case d.OccupiedWidth > 0:
		return fmt.Sprintf("LR-FHSS %d Hz %s", d.OccupiedWidth, d.CodingRate)
	}
	return strconv.Itoa(d.BitRate)
}
