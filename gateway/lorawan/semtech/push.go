package semtech

import (
	"errors"
	"fmt"

	"github.com/tidwall/gjson"

	"belfry/gateway/strictjson"
)

// Push is what a PUSH_DATA says.
type Push struct {
	Frames []Frame
	BadCRC int     // frames that the radio has garbled; nothing else of them is kept
	Faults []error // why other frames cannot be used, each with its place
	Status bool    // the radio gateway tells its state too
}

// ParsePush reads the body of a PUSH_DATA. A frame that cannot be used costs none of those beside it.
func ParsePush(body []byte) (Push, error) {
	var push Push
	text, err := checkBody(body)
	if err != nil {
		return Push{}, err
	}
	err = strictjson.Each(gjson.Parse(text), func(name string, value gjson.Result) (strictjson.Field, error) {
		switch name {
		case "rxpk":
			return 1, push.readFrames(value)
		case "stat":
			push.Status = true
			return 2, nil
		}
		return 0, nil
	})
	if err != nil {
		return Push{}, err
	}
	return push, nil
}

func (p *Push) readFrames(list gjson.Result) error {
	number := 0
	return strictjson.List(list, func(value gjson.Result) error {
		if number == MaxFrames {
			return fmt.Errorf("more than %d frames", MaxFrames)
		}
		frame, err := parseFrame(value)
		switch {
		case errors.Is(err, errBadCRC):
			p.BadCRC++
		case err != nil:
			p.Faults = append(p.Faults, fmt.Errorf("rxpk[%d]: %w", number, err))
		default:
			p.Frames = append(p.Frames, frame)
		}
		number++
		return nil
	})
}
