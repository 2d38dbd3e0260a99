// Package semtech reads and writes the datagrams of the packet forwarder protocol, version 2, by which most radio gateways
// speak to their network over UDP. It knows no socket and keeps nothing.
package semtech

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/tidwall/gjson"

	"belfry/gateway/strictjson"
)

// Kind says what a datagram is for.
type Kind byte

// The kinds of datagram. A radio gateway sends the first three, we send the others.
const (
	PushData Kind = 0 // frames that were heard
	PullData Kind = 2 // keeps the way for answers open
	TxAck    Kind = 5 // what became of an answer

	PushAck  Kind = 1
	PullResp Kind = 3 // an answer to transmit
	PullAck  Kind = 4
)

// Limits of what is read.
const (
	MaxDatagram = 65_507 // bytes; no UDP datagram over IPv4 carries more
	MaxFrames   = 64     // in one datagram
	maxDepth    = 8      // of objects and lists in each other
	maxText     = 1 << 10
	minPHY      = 12 // bytes: header, address, counter and MIC
	maxPHY      = 255
)

const (
	version      = 2
	headerLength = 4
	euiLength    = 8
	bodyAt       = headerLength + euiLength
)

// Token pairs a datagram with its acknowledgement.
type Token [2]byte

// EUI identifies a radio gateway.
type EUI [euiLength]byte

// String prints 16 hexadecimal digits in lower case.
func (e EUI) String() string { return hex.EncodeToString(e[:]) }

// Datagram is what a radio gateway sent, its JSON not yet read.
type Datagram struct {
	Kind    Kind
	Token   Token
	Gateway EUI
	Body    []byte // a part of what was parsed
}

// Parse reads the head of a datagram.
func Parse(datagram []byte) (Datagram, error) {
	switch {
	case len(datagram) > MaxDatagram:
		return Datagram{}, fmt.Errorf("%d bytes are more than a datagram has", len(datagram))
	case len(datagram) < headerLength:
		return Datagram{}, fmt.Errorf("%d bytes are less than a head", len(datagram))
	case datagram[0] != version:
		return Datagram{}, fmt.Errorf("version %d of the protocol, want %d", datagram[0], version)
	}
	d := Datagram{Kind: Kind(datagram[3]), Token: Token(datagram[1:3])}
	switch d.Kind {
	case PushData, PullData, TxAck:
	case PushAck, PullResp, PullAck:
		return Datagram{}, fmt.Errorf("identifier %d is not for a radio gateway to send", d.Kind)
	default:
		return Datagram{}, fmt.Errorf("unknown identifier %d", d.Kind)
	}
	if len(datagram) < bodyAt {
		return Datagram{}, fmt.Errorf("%d bytes end within the EUI of the gateway", len(datagram))
	}
	d.Gateway, d.Body = EUI(datagram[headerLength:bodyAt]), datagram[bodyAt:]
	if d.Kind == PullData && len(d.Body) > 0 {
		return Datagram{}, fmt.Errorf("PULL_DATA has %d bytes too many", len(d.Body))
	}
	return d, nil
}

// Acknowledge makes a PUSH_ACK or a PULL_ACK.
func Acknowledge(kind Kind, token Token) []byte {
	return []byte{version, token[0], token[1], byte(kind)}
}

// checkBody copies the JSON of a datagram and says whether it may be read.
func checkBody(body []byte) (string, error) {
	text := string(body)
	if err := (strictjson.Limits{Depth: maxDepth, Text: maxText}).Check(text); err != nil {
		return "", err
	}
	if !gjson.Parse(text).IsObject() {
		return "", errors.New("not a JSON object")
	}
	return text, nil
}
