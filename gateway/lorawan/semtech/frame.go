package semtech

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"belfry/gateway/lorawan"
	"belfry/gateway/strictjson"
)

// Frame is one radio frame as a gateway heard it.
type Frame struct {
	PHY       []byte
	Timestamp uint32    // µs of the radio's own clock at the end of the frame; it wraps
	Time      time.Time // UTC, by the radio gateway's GPS or clock; zero when it tells none
	GPS       bool      // Time is by GPS
	Frequency uint32    // Hz
	DataRate  lorawan.DataRate
	RSSI      int     // dBm, of the signal when the gateway tells it apart from the channel
	SNR       float64 // dB
}

var errBadCRC = errors.New("garbled on the air")

// What stat says of the CRC.
const (
	crcBad  = -1
	crcGood = 1
)

// written is a frame as it stands in the JSON.
type written struct {
	frame      Frame
	frequency  float64 // MHz
	gps        float64 // ms, see gpsTime
	status     int
	modulation string
	rate       gjson.Result
	coding     string
	signal     signal
	best       *signal // of several antennas
	size       int
	data       string
}

// signal is how well one antenna heard a frame.
type signal struct {
	channel, own float64 // dBm; of the channel, and of the signal itself, NaN when not told
	snr          float64
}

func newSignal() signal { return signal{channel: math.NaN(), own: math.NaN()} }

func (s *signal) rssi() float64 {
	if !math.IsNaN(s.own) {
		return s.own
	}
	return s.channel
}

// parseFrame reads one member of rxpk; errBadCRC when there is no sense in it.
func parseFrame(value gjson.Result) (Frame, error) {
	w := written{size: -1, gps: -1, signal: newSignal()}
	if !value.IsObject() {
		return Frame{}, errors.New("want an object")
	}
	if err := strictjson.Each(value, w.setField); err != nil {
		return Frame{}, err
	}
	switch {
	case w.status == crcBad:
		return Frame{}, errBadCRC
	case w.status < crcBad || w.status > crcGood:
		return Frame{}, fmt.Errorf("stat: %d is neither -1, 0 nor 1", w.status)
	}
	return w.check()
}

func (w *written) setField(name string, value gjson.Result) (known strictjson.Field, err error) {
	switch name {
	case "tmst":
		known, err = 1, strictjson.Integer(&w.frame.Timestamp, value, 0, math.MaxUint32)
	case "time":
		known, err = 2, setTime(&w.frame.Time, value)
	case "tmms":
		known, err = 3, setBetween(&w.gps, value, 0, maxGPS)
	case "freq":
		known, err = 4, strictjson.Number(&w.frequency, value)
	case "stat":
		known, err = 5, strictjson.Integer(&w.status, value, math.MinInt8, math.MaxInt8)
	case "modu":
		known, err = 6, strictjson.Text(&w.modulation, value)
	case "datr":
		known, w.rate = 7, value
	case "codr":
		known, err = 8, strictjson.Text(&w.coding, value)
	case "rssi":
		known, err = 9, setLevel(&w.signal.channel, value)
	case "rssis":
		known, err = 10, setLevel(&w.signal.own, value)
	case "lsnr":
		known, err = 11, setLevel(&w.signal.snr, value)
	case "size":
		known, err = 12, strictjson.Integer(&w.size, value, 0, math.MaxInt16)
	case "data":
		known, err = 13, strictjson.Text(&w.data, value)
	case "rsig":
		known, err = 14, w.readAntennas(value)
	case "chan":
		known, err = 15, checkIndex(value)
	case "rfch":
		known, err = 16, checkIndex(value)
	}
	return known, err
}

// readAntennas keeps the signal of the antenna that heard best.
func (w *written) readAntennas(list gjson.Result) error {
	return strictjson.List(list, func(value gjson.Result) error {
		s := newSignal()
		err := strictjson.Each(value, func(name string, value gjson.Result) (strictjson.Field, error) {
			switch name {
			case "rssic":
				return 1, setLevel(&s.channel, value)
			case "rssis":
				return 2, setLevel(&s.own, value)
			case "lsnr":
				return 3, setLevel(&s.snr, value)
			}
			return 0, nil
		})
		if err == nil && (w.best == nil || s.snr > w.best.snr || s.snr == w.best.snr && s.rssi() > w.best.rssi()) {
			w.best = &s
		}
		return err
	})
}

// check makes the frame of what was read.
func (w *written) check() (Frame, error) {
	f := w.frame
	var err error
	if f.PHY, err = w.payload(); err != nil {
		return Frame{}, err
	}
	if f.Frequency, err = hertz(w.frequency); err != nil {
		return Frame{}, fmt.Errorf("freq: %w", err)
	}
	if f.DataRate, err = w.dataRate(); err != nil {
		return Frame{}, err
	}
	if w.gps >= 0 {
		f.Time, f.GPS = gpsTime(int64(w.gps)), true
	}
	heard := w.signal
	if w.best != nil {
		heard = *w.best
	}
	if rssi := heard.rssi(); !math.IsNaN(rssi) {
		f.RSSI = int(math.Round(rssi))
	}
	f.SNR = heard.snr
	return f, nil
}

// anyAlphabet puts the URL alphabet of base64 into the standard one: the protocol's own example mixes them.
var anyAlphabet = strings.NewReplacer("-", "+", "_", "/")

func (w *written) payload() ([]byte, error) {
	payload, err := strictjson.DecodeBase64(anyAlphabet.Replace(w.data))
	switch {
	case err != nil:
		return nil, fmt.Errorf("data: base64: %w", err)
	case w.size >= 0 && w.size != len(payload):
		return nil, fmt.Errorf("data: %d bytes, size says %d", len(payload), w.size)
	case len(payload) < minPHY || len(payload) > maxPHY:
		return nil, fmt.Errorf("data: %d bytes, a LoRaWAN frame has %d to %d", len(payload), minPHY, maxPHY)
	}
	return payload, nil
}

func (w *written) dataRate() (lorawan.DataRate, error) {
	var rate lorawan.DataRate
	var err error
	switch w.modulation {
	case "LORA":
		rate, err = lorawan.ParseDataRate(w.rate.Str)
	case "FSK":
		if w.rate.Type != gjson.Number {
			return rate, errors.New("datr: want a number of bits a second with FSK")
		}
		err = strictjson.Integer(&rate.BitRate, w.rate, 500, 250_000)
	case "LR-FHSS":
		rate, err = parseHopping(w.rate.Str, w.coding)
	default:
		return rate, fmt.Errorf("modu: %.20q is neither LORA, FSK nor LR-FHSS", w.modulation)
	}
	if err != nil {
		return lorawan.DataRate{}, fmt.Errorf("datr: %w", err)
	}
	return rate, nil
}

// parseHopping reads the data rate of LR-FHSS, "M0CW137": modulation type 0, 137 kHz.
func parseHopping(text, coding string) (lorawan.DataRate, error) {
	digits, ok := strings.CutPrefix(text, "M0CW")
	width, err := strconv.ParseUint(digits, 10, 16)
	if !ok || err != nil || width == 0 || width > 2000 {
		return lorawan.DataRate{}, fmt.Errorf("%.20q is not a data rate such as M0CW137", text)
	}
	rate := lorawan.DataRate{OccupiedWidth: int(width) * 1000}
	switch coding {
	case "1/3":
		rate.CodingRate = "1/3"
	case "2/3", "4/6":
		rate.CodingRate = "4/6" // as the regions of the LoRaWAN library call it
	default:
		return lorawan.DataRate{}, fmt.Errorf("coding rate %.20q is neither 1/3 nor 4/6", coding)
	}
	return rate, nil
}
