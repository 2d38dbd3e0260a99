package station

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tidwall/gjson"

	"belfry/gateway/strictjson"
)

const (
	maxPHY   = 255 // bytes of a frame
	maxFOpts = 15  // bytes; FCtrl has four bits for their number
	noPort   = -1  // FPort of a frame without one
)

// Uplink is one frame as a station heard it.
type Uplink struct {
	PHY       []byte // the PHYPayload as it was on the air
	DataRate  int    // index in the station's region
	Frequency uint32 // Hz
	RSSI      int    // dBm
	SNR       float64
	Time      time.Time // when it was heard, by GPS; zero when the station has none

	Context Context
}

// Context is what an answer needs of its uplink.
type Context struct {
	RCtx  int64 // antenna
	XTime int64 // µs of the radio's clock
}

// radio reads the members that frames of all kinds have.
type radio struct {
	*Uplink
	frequency, rate, info bool // what stood there
}

// The numbers of the fields of radio; those of the frame begin after them.
const (
	fieldRate strictjson.Field = iota + 1
	fieldFrequency
	fieldInfo
	fieldFrame
)

func (r *radio) set(name string, value gjson.Result) (strictjson.Field, error) {
	present := value.Type != gjson.Null
	switch name {
	case "DR":
		r.rate = present
		return fieldRate, strictjson.Integer(&r.DataRate, value, 0, 15)
	case "Freq":
		r.frequency = present
		return fieldFrequency, strictjson.Integer(&r.Frequency, value, 1, math.MaxUint32)
	case "upinfo":
		r.info = present
		return fieldInfo, r.readInfo(value)
	}
	return 0, nil
}

func (r *radio) readInfo(object gjson.Result) error {
	var rssi float64
	var gps int64
	err := strictjson.Each(object, func(name string, value gjson.Result) (strictjson.Field, error) {
		switch name {
		case "rctx":
			return 1, integer64(&r.Context.RCtx, value)
		case "xtime":
			return 2, integer64(&r.Context.XTime, value)
		case "gpstime":
			return 3, strictjson.Integer(&gps, value, 0, math.MaxInt64)
		case "rssi":
			return 4, strictjson.Number(&rssi, value)
		case "snr":
			return 5, strictjson.Number(&r.SNR, value)
		}
		return 0, nil // fts and rxtime: the station's own clock, of which nothing is known
	})
	if err == nil && (math.Abs(rssi) > 1000 || math.Abs(r.SNR) > 1000) {
		err = errors.New("no radio measures that")
	}
	r.RSSI = int(math.Round(rssi))
	if gps > 0 {
		r.Time = FromGPS(gps)
	}
	return err
}

func (r *radio) check() error {
	switch {
	case !r.rate:
		return errors.New("no DR")
	case !r.frequency:
		return errors.New("no Freq")
	case !r.info:
		return errors.New("no upinfo")
	}
	return nil
}

// missing names the first of the members of a frame that was not there; seen has a bit for each.
func missing(seen uint, names []string) error {
	for i, name := range names {
		if seen&(1<<i) == 0 {
			return errors.New("no " + name)
		}
	}
	return nil
}

var joinNames = []string{"MHdr", "JoinEui", "DevEui", "DevNonce", "MIC"}

// readJoin puts a join-request together again: all of it little-endian.
func readJoin(object gjson.Result) (*Uplink, error) {
	uplink := &Uplink{}
	info := radio{Uplink: uplink}
	var (
		header  uint8
		join    ID
		device  ID
		nonce   uint16
		mic     uint32
		members uint
	)
	err := strictjson.Each(object, func(name string, value gjson.Result) (strictjson.Field, error) {
		member, err := 0, error(nil)
		switch name {
		case "MHdr":
			member, err = 0, strictjson.Integer(&header, value, 0, math.MaxUint8)
		case "JoinEui", "JoinEUI":
			member, err = 1, setID(&join, value)
		case "DevEui", "DevEUI":
			member, err = 2, setID(&device, value)
		case "DevNonce":
			member, err = 3, strictjson.Integer(&nonce, value, 0, math.MaxUint16)
		case "MIC":
			member, err = 4, bits32(&mic, value)
		default:
			return info.set(name, value)
		}
		members |= present(value) << member
		return fieldFrame + strictjson.Field(member), err
	})
	if err := errors.Join(err, missing(members, joinNames), info.check()); err != nil {
		return nil, first(err)
	}
	phy := make([]byte, 0, 23)
	phy = append(phy, header)
	phy = binary.LittleEndian.AppendUint64(phy, uint64(join))
	phy = binary.LittleEndian.AppendUint64(phy, uint64(device))
	phy = binary.LittleEndian.AppendUint16(phy, nonce)
	uplink.PHY = binary.LittleEndian.AppendUint32(phy, mic)
	return uplink, nil
}

var dataNames = []string{"MHdr", "DevAddr", "FCtrl", "FCnt", "MIC"}

// readData puts a data frame together again.
func readData(object gjson.Result) (*Uplink, error) {
	uplink := &Uplink{}
	info := radio{Uplink: uplink}
	var (
		header, control  uint8
		address, mic     uint32
		counter          uint16
		options, payload []byte
		port             = noPort
		members          uint
	)
	err := strictjson.Each(object, func(name string, value gjson.Result) (strictjson.Field, error) {
		member, err := 0, error(nil)
		switch name {
		case "MHdr":
			member, err = 0, strictjson.Integer(&header, value, 0, math.MaxUint8)
		case "DevAddr":
			member, err = 1, bits32(&address, value)
		case "FCtrl":
			member, err = 2, strictjson.Integer(&control, value, 0, math.MaxUint8)
		case "FCnt":
			member, err = 3, strictjson.Integer(&counter, value, 0, math.MaxUint16)
		case "MIC":
			member, err = 4, bits32(&mic, value)
		case "FOpts":
			member, err = 5, hexText(&options, value, maxFOpts)
		case "FPort":
			member, err = 6, strictjson.Integer(&port, value, noPort, math.MaxUint8)
		case "FRMPayload":
			member, err = 7, hexText(&payload, value, maxPHY)
		default:
			return info.set(name, value)
		}
		members |= present(value) << member
		return fieldFrame + strictjson.Field(member), err
	})
	if err := errors.Join(err, missing(members, dataNames), info.check()); err != nil {
		return nil, first(err)
	}
	switch {
	case len(options) != int(control&0x0f):
		return nil, fmt.Errorf("FOpts of %d bytes, FCtrl says %d", len(options), control&0x0f)
	case port == noPort && len(payload) > 0:
		return nil, errors.New("FRMPayload without FPort")
	}
	phy := make([]byte, 0, 13+len(options)+len(payload))
	phy = append(phy, header)
	phy = binary.LittleEndian.AppendUint32(phy, address)
	phy = append(phy, control)
	phy = binary.LittleEndian.AppendUint16(phy, counter)
	phy = append(phy, options...)
	if port != noPort {
		phy = append(phy, uint8(port))
		phy = append(phy, payload...)
	}
	uplink.PHY = binary.LittleEndian.AppendUint32(phy, mic)
	if len(uplink.PHY) > maxPHY {
		return nil, fmt.Errorf("frame of %d bytes, more than %d", len(uplink.PHY), maxPHY)
	}
	return uplink, nil
}

// first returns the first of joined errors: the others follow from it.
func first(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()[0]
	}
	return err
}

func present(value gjson.Result) uint {
	if value.Type == gjson.Null {
		return 0
	}
	return 1
}

func integer64(to *int64, value gjson.Result) error {
	return strictjson.Integer(to, value, math.MinInt64, math.MaxInt64)
}

// bits32 reads 32 bits that are written as a signed integer, or by some as an unsigned one.
func bits32(to *uint32, value gjson.Result) error {
	number := int64(*to)
	err := strictjson.Integer(&number, value, math.MinInt32, math.MaxUint32)
	*to = uint32(number)
	return err
}

func hexText(to *[]byte, value gjson.Result, most int) error {
	var text string
	if err := strictjson.Text(&text, value); err != nil {
		return err
	}
	decoded, err := parseHex(text, most)
	if err != nil {
		return err
	}
	*to = decoded
	return nil
}
