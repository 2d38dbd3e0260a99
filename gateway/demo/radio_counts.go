package demo

import (
	"fmt"
	"strings"
)

// Radio counts what happened on air.
type Radio struct {
	CutOff    int // gateways without backhaul now
	Waiting   int // devices without a session now
	Joined    int // devices that got a session by a join
	Frames    int // uplinks that a gateway got an acknowledgement for, repeats and joins among them
	Copies    int // of them, heard by further gateways
	Late      int // of both, held back by a gateway without backhaul
	Resent    int // datagrams
	Downlinks int // that devices took
	Confirmed int // uplinks that wanted an acknowledgement
	Acked     int // of them, acknowledged
	Answers   int // to MAC commands
	Replays   int // frames sent again by an attacker
	Unsettled int // frames of reports that no gateway has an acknowledgement for
	Refused   int // downlinks that the device they were for could not take

	firstRefusal error
}

// err is about downlinks that were not what the specification says.
func (r *Radio) err() error {
	if r.Refused == 0 {
		return nil
	}
	return fmt.Errorf("%d downlinks were refused by the devices: %w", r.Refused, r.firstRefusal)
}

func (r *Radio) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s joined, %s frames and %s copies, %s late, %s downlinks, %s of %s confirmed acknowledged, %s replays",
		thousands(r.Joined), thousands(r.Frames), thousands(r.Copies), thousands(r.Late), thousands(r.Downlinks),
		thousands(r.Acked), thousands(r.Confirmed), thousands(r.Replays))
	if r.Waiting > 0 {
		fmt.Fprintf(&b, " (%d still join)", r.Waiting)
	}
	if r.CutOff > 0 {
		fmt.Fprintf(&b, " (%d gateway without backhaul)", r.CutOff)
	}
	return b.String()
}
