package lorawan

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/brocaar/lorawan"
)

const (
	minPHY = 12  // bytes: MHDR, the shortest FHDR and MIC
	maxPHY = 255 // bytes, of a LoRa packet
)

// dataFrame is a data uplink, its parts as they are on air. They alias the frame.
type dataFrame struct {
	phy       []byte
	confirmed bool
	devAddr   uint32
	adr       bool // the device wants its data rate managed
	asks      bool // ADRACKReq: the device wants to hear anything at all
	low       uint16
	options   []byte // FOpts; encrypted in LoRaWAN 1.1
	hasPort   bool
	port      uint8
	payload   []byte // FRMPayload, encrypted
}

var (
	errLength = errors.New("wrong length for a LoRaWAN frame")
	errMajor  = errors.New("not a LoRaWAN R1 frame")
	errParts  = errors.New("LoRaWAN frame with parts that do not fit")
)

// messageType is the MType of a frame.
func messageType(phy []byte) lorawan.MType { return lorawan.MType(phy[0] >> 5) }

// checkPHY says whether the bytes may be a LoRaWAN frame at all.
func checkPHY(phy []byte) error {
	switch {
	case len(phy) < minPHY || len(phy) > maxPHY:
		return fmt.Errorf("%w: %d bytes", errLength, len(phy))
	case phy[0]&0x1f != 0: // Major and what is reserved
		return errMajor
	}
	return nil
}

// parseData reads a data uplink, section 4 of the specification. checkPHY must have been content with it.
func parseData(phy []byte) (dataFrame, error) {
	f := dataFrame{phy: phy, confirmed: messageType(phy) == lorawan.ConfirmedDataUp, devAddr: binary.LittleEndian.Uint32(phy[1:])}
	control := phy[5]
	f.adr, f.asks = control&0x80 != 0, control&0x40 != 0
	f.low = binary.LittleEndian.Uint16(phy[6:])
	body := phy[8 : len(phy)-4]
	n := int(control & 0x0f)
	if n > len(body) {
		return dataFrame{}, fmt.Errorf("%w: %d bytes of options in %d", errParts, n, len(body))
	}
	f.options, body = body[:n], body[n:]
	if len(body) > 0 {
		f.hasPort, f.port, f.payload = true, body[0], body[1:]
	}
	if f.hasPort && f.port == 0 && n > 0 {
		return dataFrame{}, fmt.Errorf("%w: options beside port 0", errParts)
	}
	return f, nil
}

// address is the frame's DevAddr as the library has it.
func (f *dataFrame) address() lorawan.DevAddr { return devAddr(f.devAddr) }

func devAddr(n uint32) (address lorawan.DevAddr) {
	binary.BigEndian.PutUint32(address[:], n)
	return address
}

// signed says whether the frame carries the signature of a session at a counter. rate and channel count in LoRaWAN 1.1 only.
func (f *dataFrame) signed(version lorawan.MACVersion, keys *sessionKeys, counter uint32, rate, channel uint8) bool {
	var phy lorawan.PHYPayload
	if phy.UnmarshalBinary(f.phy) != nil {
		return false
	}
	mac, ok := phy.MACPayload.(*lorawan.MACPayload)
	if !ok {
		return false
	}
	mac.FHDR.FCnt = counter
	valid, err := phy.ValidateUplinkDataMIC(version, 0, rate, channel, keys.forward, keys.serve)
	return err == nil && valid
}

// decrypt returns the payload and the MAC commands in clear.
func (f *dataFrame) decrypt(version lorawan.MACVersion, keys *sessionKeys, counter uint32) (payload, commands []byte, err error) {
	key := keys.app
	if f.port == 0 {
		key = keys.encrypt
	}
	// The library writes behind what it is given when there is room: so there is none.
	payload = append(make([]byte, 0, len(f.payload)), f.payload...)
	if payload, err = lorawan.EncryptFRMPayload(key, true, f.address(), counter, payload); err != nil {
		return nil, nil, err
	}
	commands = f.options
	if version == lorawan.LoRaWAN1_1 && len(f.options) > 0 {
		clear := append(make([]byte, 0, len(f.options)), f.options...)
		if commands, err = lorawan.EncryptFOpts(keys.encrypt, false, true, f.address(), counter, clear); err != nil {
			return nil, nil, err
		}
	}
	if f.hasPort && f.port == 0 {
		return nil, payload, nil
	}
	return payload, commands, nil
}

// uplinkCommands are the lengths of what devices say in MAC commands, without their identifiers, by identifier. Tables in
// section 5 of LoRaWAN 1.1 and 1.0.4. At the first that is not here reading stops: its length is not known.
var uplinkCommands = map[lorawan.CID]int{
	lorawan.ResetInd: 1, lorawan.LinkCheckReq: 0, lorawan.LinkADRAns: 1, lorawan.DutyCycleAns: 0, lorawan.RXParamSetupAns: 1,
	lorawan.DevStatusAns: 2, lorawan.NewChannelAns: 1, lorawan.RXTimingSetupAns: 0, lorawan.TXParamSetupAns: 0,
	lorawan.DLChannelAns: 1, lorawan.RekeyInd: 1, lorawan.ADRParamSetupAns: 0, lorawan.DeviceTimeReq: 0,
	lorawan.RejoinParamSetupAns: 1, lorawan.PingSlotInfoReq: 1, lorawan.PingSlotChannelAns: 1, lorawan.BeaconFreqAns: 1,
	lorawan.DeviceModeInd: 1,
}

// wishes are what a frame wants answered.
type wishes struct {
	acknowledge bool
	linkCheck   bool
	time        bool
	rekey       bool // RekeyInd: LoRaWAN 1.1 devices say it until they are answered
	reset       bool // ResetInd: the same for those that are not joined
	anything    bool // ADRACKReq
}

func (w wishes) any() bool { return w != wishes{} }

// wishes reads what the frame and its MAC commands ask for.
func (f *dataFrame) wishes(version lorawan.MACVersion, commands []byte) wishes {
	w := wishes{acknowledge: f.confirmed, anything: f.adr && f.asks}
	for len(commands) > 0 {
		command := lorawan.CID(commands[0])
		size, ok := uplinkCommands[command]
		if !ok || len(commands) < 1+size {
			break
		}
		switch command {
		case lorawan.LinkCheckReq:
			w.linkCheck = true
		case lorawan.DeviceTimeReq:
			w.time = true
		case lorawan.RekeyInd:
			w.rekey = version == lorawan.LoRaWAN1_1
		case lorawan.ResetInd:
			w.reset = version == lorawan.LoRaWAN1_1
		}
		commands = commands[1+size:]
	}
	return w
}
