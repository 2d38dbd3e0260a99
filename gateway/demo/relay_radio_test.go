package demo

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/brocaar/lorawan"

	"belfry/decoders"
)

// relayRadio is the relay's network server: as little as the town's radio needs to be understood, with another
// implementation of LoRaWAN than the town's.
type relayRadio struct {
	relay    *relay
	socket   *net.UDPConn
	serving  sync.WaitGroup
	pullers  map[uint64]*net.UDPAddr
	sessions map[string]*relaySession // by device
	heard    map[string]bool          // frames, and nonces of joins
	joins    uint32
}

type relaySession struct {
	device                         string
	version                        lorawan.MACVersion
	address                        lorawan.DevAddr
	forward, serving, encrypt, app lorawan.AES128Key
	counters                       map[uint32]bool
	down                           uint32
}

func openRelayRadio(r *relay, address string) (*relayRadio, error) {
	at, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, err
	}
	socket, err := net.ListenUDP("udp", at)
	if err != nil {
		return nil, err
	}
	n := &relayRadio{relay: r, socket: socket, pullers: map[uint64]*net.UDPAddr{}, sessions: map[string]*relaySession{}, heard: map[string]bool{}}
	for device, cells := range r.keys {
		if cells[3] == "" || cells[3] == "nwk_s_key" {
			continue
		}
		s := &relaySession{device: device, version: lorawan.LoRaWAN1_0, counters: map[uint32]bool{}}
		sensor := r.sensors[device]
		_ = s.address.UnmarshalText([]byte(sensor[len(sensor)-1]))
		_ = s.forward.UnmarshalText([]byte(cells[3]))
		_ = s.app.UnmarshalText([]byte(cells[4]))
		s.serving, s.encrypt = s.forward, s.forward
		n.sessions[device] = s
	}
	n.serving.Go(n.serve)
	return n, nil
}

func (n *relayRadio) close() {
	n.socket.Close()
	n.serving.Wait()
}

func (n *relayRadio) serve() {
	buffer := make([]byte, 65536)
	for {
		size, from, err := n.socket.ReadFromUDP(buffer)
		if err != nil {
			return
		}
		gateway := binary.BigEndian.Uint64(buffer[4:])
		reply := byte(pullAck)
		switch buffer[3] {
		case pushData:
			if gateway == attackerEUI {
				continue
			}
			reply = pushAck
			var body struct {
				Packets []receivedPacket `json:"rxpk"`
			}
			if err := json.Unmarshal(buffer[12:size], &body); err != nil {
				n.relay.t.Error(err)
			}
			for _, p := range body.Packets {
				n.take(gateway, &p)
			}
		case pullData:
			n.pullers[gateway] = from
		default:
			continue
		}
		_, _ = n.socket.WriteToUDP([]byte{2, buffer[1], buffer[2], reply}, from)
	}
}

func (n *relayRadio) take(gateway uint64, p *receivedPacket) {
	var phy lorawan.PHYPayload
	if n.heard[string(p.Data)] {
		return
	}
	n.heard[string(p.Data)] = true
	if err := phy.UnmarshalBinary(p.Data); err != nil {
		n.relay.t.Error(err)
		return
	}
	switch payload := phy.MACPayload.(type) {
	case *lorawan.JoinRequestPayload:
		n.join(gateway, p, &phy, payload)
	case *lorawan.MACPayload:
		n.uplink(gateway, p, &phy, payload)
	}
}

func (n *relayRadio) join(gateway uint64, p *receivedPacket, phy *lorawan.PHYPayload, asked *lorawan.JoinRequestPayload) {
	device := asked.DevEUI.String()
	cells := n.relay.keys[device]
	var app, root lorawan.AES128Key
	_ = app.UnmarshalText([]byte(cells[1]))
	newer := root.UnmarshalText([]byte(cells[2])) == nil
	if !newer {
		root = app
	}
	if ok, err := phy.ValidateUplinkJoinMIC(root); !ok || err != nil {
		n.relay.t.Errorf("join-request of %s: MIC is %v, %v", device, ok, err)
		return
	}
	n.joins++
	answer := &lorawan.JoinAcceptPayload{JoinNonce: lorawan.JoinNonce(n.joins), DLSettings: lorawan.DLSettings{OptNeg: newer}, RXDelay: 1}
	binary.BigEndian.PutUint32(answer.DevAddr[:], 0x01f00000+n.joins)
	signer := root
	eui, _ := hex.DecodeString(device)
	derive := func(root lorawan.AES128Key, kind byte, parts ...[]byte) lorawan.AES128Key {
		block := []byte{kind}
		for _, part := range parts {
			for i := len(part) - 1; i >= 0; i-- {
				block = append(block, part[i])
			}
		}
		return lorawan.AES128Key(aesKey(root).encrypt([16]byte(append(block, make([]byte, 16-len(block))...))))
	}
	if newer {
		signer = derive(root, 6, eui)
	}
	nonce, joinNonce := binary.BigEndian.AppendUint16(nil, uint16(asked.DevNonce)), binary.BigEndian.AppendUint32(nil, n.joins)[1:]
	s := &relaySession{device: device, version: lorawan.LoRaWAN1_0, address: answer.DevAddr, counters: map[uint32]bool{}}
	s.forward, s.app = derive(root, 1, joinNonce, answer.HomeNetID[:], nonce), derive(root, 2, joinNonce, answer.HomeNetID[:], nonce)
	s.serving, s.encrypt = s.forward, s.forward
	if newer {
		s.version = lorawan.LoRaWAN1_1
		s.forward, s.serving = derive(root, 1, joinNonce, asked.JoinEUI[:], nonce), derive(root, 3, joinNonce, asked.JoinEUI[:], nonce)
		s.encrypt, s.app = derive(root, 4, joinNonce, asked.JoinEUI[:], nonce), derive(app, 2, joinNonce, asked.JoinEUI[:], nonce)
	}
	n.sessions[device] = s
	accept := lorawan.PHYPayload{MHDR: lorawan.MHDR{MType: lorawan.JoinAccept}, MACPayload: answer}
	err := accept.SetDownlinkJoinMIC(lorawan.JoinRequestType, asked.JoinEUI, asked.DevNonce, signer)
	if err == nil {
		err = accept.EncryptJoinAcceptPayload(root)
	}
	n.send(gateway, p, 5, &accept, err)
}

func (n *relayRadio) uplink(gateway uint64, p *receivedPacket, phy *lorawan.PHYPayload, mac *lorawan.MACPayload) {
	rate, _ := parseDataRate(p.DataRate)
	frequency, _ := p.Frequency.Float64()
	for _, s := range n.sessions {
		if s.address != mac.FHDR.DevAddr {
			continue
		}
		channel := uint8((frequency - 868.1 + 0.05) / 0.2)
		if ok, err := phy.ValidateUplinkDataMIC(s.version, 0, rate, channel, s.forward, s.serving); !ok || err != nil {
			continue // another device with this address
		}
		if s.counters[mac.FHDR.FCnt] {
			return
		}
		s.counters[mac.FHDR.FCnt] = true
		confirmed := phy.MHDR.MType == lorawan.ConfirmedDataUp
		if confirmed {
			s.down++
			frame, err := n.acknowledgement(s, mac.FHDR.FCnt)
			n.send(gateway, p, 1, frame, err)
		}
		if err := phy.DecryptFRMPayload(s.app); err != nil {
			n.relay.t.Error(err)
		}
		n.emit(s, mac)
		return
	}
	n.relay.t.Errorf("no session for the frame %x", p.Data)
}

func (n *relayRadio) acknowledgement(s *relaySession, counter uint32) (*lorawan.PHYPayload, error) {
	mac := &lorawan.MACPayload{FHDR: lorawan.FHDR{DevAddr: s.address, FCnt: s.down, FCtrl: lorawan.FCtrl{ACK: true}}}
	phy := &lorawan.PHYPayload{MHDR: lorawan.MHDR{MType: lorawan.UnconfirmedDataDown}, MACPayload: mac}
	return phy, phy.SetDownlinkDataMIC(s.version, counter, s.serving)
}

// emit queues the events of an uplink.
func (n *relayRadio) emit(s *relaySession, mac *lorawan.MACPayload) {
	r, heard := n.relay, time.Now()
	cells, id := r.sensors[s.device], fmt.Sprintf("%s-%d", s.device, mac.FHDR.FCnt)
	uplink := decoders.Uplink{Port: *mac.FPort, Payload: mac.FRMPayload[0].(*lorawan.DataPayload).Bytes, Received: heard}
	r.taken.Add(1)
	r.pending.Add(1)
	r.queue <- func() []wireEvent {
		output, err := decoders.Run(decoders.Native(cells[2]), uplink)
		if err != nil {
			r.t.Error(err)
			return nil
		}
		event := wireEvent{Subject: cells[0], Service: cells[3]}
		event.Data.Sensor, event.Data.Received = map[string]string{"model": cells[2]}, heard
		events := r.decoded(event, output, heard)
		for i := range events {
			events[i].ID = fmt.Sprintf("%s-%d", id, i)
		}
		return events
	}
}

// send answers in the first window.
func (n *relayRadio) send(gateway uint64, p *receivedPacket, seconds uint32, phy *lorawan.PHYPayload, err error) {
	frame, err2 := phy.MarshalBinary()
	if err != nil || err2 != nil {
		n.relay.t.Error(err, err2)
		return
	}
	timestamp := p.Timestamp + seconds*1_000_000
	packet := transmitPacket{Timestamp: &timestamp, Power: 14, Mode: "LORA", DataRate: p.DataRate, CodeRate: "4/5", Inverted: true, Size: len(frame), Data: frame}
	packet.Frequency, _ = p.Frequency.Float64()
	body, err := json.Marshal(map[string]any{"txpk": packet})
	if err != nil {
		n.relay.t.Error(err)
	}
	_, _ = n.socket.WriteToUDP(append([]byte{2, 1, 2, pullResp}, body...), n.pullers[gateway])
}
