package source

import (
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

// notice is something that may happen with every datagram and is logged once a minute at most.
type notice int

const (
	noticeMalformed notice = iota
	noticeStranger
	noticeRate
	noticeFull
	noticeFrame
	noticePull
	noticeRefused
	noticeKinds
)

var noticeTexts = [noticeKinds]string{
	noticeMalformed: "datagrams that cannot be read",
	noticeStranger:  "datagrams of a radio gateway or address that is not in the list",
	noticeRate:      "datagrams beyond the rate of a radio gateway",
	noticeFull:      "datagrams dropped, more came in than could be stored",
	noticeFrame:     "frames of a radio gateway that cannot be used",
	noticePull:      "another address asks for the answers of a radio gateway",
	noticeRefused:   "radio gateway has refused to send",
}

const noticeEvery = time.Minute

// notices collects what is to be logged. Writing is left to write: a log may block, the socket must not wait for it.
type notices struct {
	mu   sync.Mutex
	kind [noticeKinds]noticed // guarded by mu
}

// noticed is what happened since the last line; of the first it tells more.
type noticed struct {
	next    time.Time
	count   uint64
	gateway string
	from    netip.AddrPort
	err     error
}

func (n *notices) note(kind notice, gateway string, from netip.AddrPort, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	entry := &n.kind[kind]
	if entry.count++; entry.count == 1 {
		entry.gateway, entry.from, entry.err = gateway, from, err
	}
}

// due returns the notices that may be written now.
func (n *notices) due(now time.Time) (list [noticeKinds]noticed) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for kind := range n.kind {
		if entry := &n.kind[kind]; entry.count > 0 && !now.Before(entry.next) {
			list[kind] = *entry
			*entry = noticed{next: now.Add(noticeEvery)}
		}
	}
	return list
}

func (n *notices) write(log *slog.Logger, now time.Time) {
	for kind, entry := range n.due(now) {
		if entry.count == 0 {
			continue
		}
		args := []any{"count", entry.count, "gateway", entry.gateway, "address", entry.from}
		if entry.err != nil {
			args = append(args, "err", entry.err)
		}
		log.Warn(noticeTexts[kind], args...)
	}
}
