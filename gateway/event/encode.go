package event

import (
	"encoding/json"
	"strconv"
	"time"

	"belfry/decoders"
)

// AppendJSON appends the event as one JSON object. Parts that are not known are left out.
func (e *Event) AppendJSON(b []byte) []byte {
	b = append(b, `{"specversion":"1.0","id":`...)
	b = appendText(b, e.ID)
	b = append(b, `,"source":`...)
	b = appendText(b, e.Source)
	b = append(b, `,"type":`...)
	b = appendText(b, e.Type)
	b = append(b, `,"subject":`...)
	b = appendText(b, e.Subject)
	b = append(b, `,"time":`...)
	b = appendTime(b, e.Time)
	b = append(b, `,"datacontenttype":"application/json","dataschema":"urn:belfry:event:v1","owner":`...)
	b = appendText(b, e.Owner)
	b = append(b, `,"commune":`...)
	b = appendText(b, e.Commune)
	if e.Service != "" {
		b = append(b, `,"service":`...)
		b = appendText(b, e.Service)
	}
	b = append(b, `,"data":`...)
	b = e.appendData(b)
	return append(b, '}')
}

func (e *Event) appendData(b []byte) []byte {
	b = append(b, '{')
	if e.Sensor != nil {
		b = e.Sensor.append(b)
		b = append(b, ',')
	}
	b = append(b, `"received":`...)
	b = appendTime(b, e.Received)
	b = append(b, `,"clock":`...)
	b = appendText(b, string(e.Clock))
	switch e.Type {
	case TypeObservation:
		b = appendMeasurements(b, e.Measurements)
		b = appendTexts(append(b, `,"alarms":`...), e.Alarms)
	case TypeAlarm:
		b = e.Alarm.append(b)
	case TypeNotice:
		b = e.Notice.append(b)
	}
	if e.Link != nil {
		b = e.Link.append(b)
	}
	if e.Type == TypeObservation || len(e.Flags) > 0 {
		b = appendTexts(append(b, `,"flags":`...), e.Flags)
	}
	return append(b, '}')
}

func (s *Sensor) append(b []byte) []byte {
	b = append(b, `"sensor":{"id":`...)
	b = appendText(b, s.ID)
	b = append(b, `,"kind":`...)
	b = appendText(b, s.Kind)
	b = append(b, `,"model":`...)
	b = appendText(b, s.Model)
	if s.Device != "" {
		b = append(b, `,"device":`...)
		b = appendText(b, s.Device)
	}
	b = append(b, '}')
	if s.Location != nil {
		b = append(b, `,"location":{"type":"Point","coordinates":[`...)
		b = appendNumber(b, s.Location.Longitude)
		b = append(b, ',')
		b = appendNumber(b, s.Location.Latitude)
		b = append(b, "]}"...)
	}
	return b
}

func appendMeasurements(b []byte, measurements []Measurement) []byte {
	b = append(b, `,"measurements":{`...)
	for i := range measurements {
		m := &measurements[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, m.Name...)
		b = appendChannel(b, m.Channel)
		b = append(b, `":{"value":`...)
		b = m.Value.AppendJSON(b)
		if m.Unit != "" {
			b = append(b, `,"unit":`...)
			b = appendText(b, m.Unit)
		}
		if m.Suspect {
			b = append(b, `,"quality":"suspect"`...)
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

func appendChannel(b []byte, channel int) []byte {
	if channel > 1 {
		b = append(b, '_')
		b = strconv.AppendInt(b, int64(channel), 10)
	}
	return b
}

// Key is the name under which a measurement is published: its name, with a suffix for a channel above 1.
func (m *Measurement) Key() string { return string(appendChannel([]byte(m.Name), m.Channel)) }

func (a *AlarmEdge) append(b []byte) []byte {
	b = append(b, `,"alarm":{"code":`...)
	b = appendText(b, a.Code)
	b = append(b, `,"active":`...)
	b = strconv.AppendBool(b, a.Active)
	b = append(b, `,"since":`...)
	b = appendTime(b, a.Since)
	return append(b, '}')
}

// append leaves out details that JSON cannot hold; the code and the reason always go.
func (n *Notice) append(b []byte) []byte {
	form := map[string]any{}
	for key, value := range n.Details {
		form[key] = value
	}
	form["code"] = n.Code
	if n.Reason != "" {
		form["reason"] = n.Reason
	}
	packed, err := json.Marshal(form)
	if err != nil {
		packed, _ = json.Marshal(map[string]string{"code": n.Code, "reason": n.Reason})
	}
	return append(append(b, `,"notice":`...), packed...)
}

func (l *Link) append(b []byte) []byte {
	b = append(b, `,"link":{"rssi":`...)
	b = strconv.AppendInt(b, int64(l.RSSI), 10)
	b = append(b, `,"snr":`...)
	b = appendNumber(b, l.SNR)
	if l.SpreadingFactor > 0 {
		b = append(b, `,"spreading_factor":`...)
		b = strconv.AppendInt(b, int64(l.SpreadingFactor), 10)
	}
	if l.Gateways > 0 {
		b = append(b, `,"gateways":`...)
		b = strconv.AppendInt(b, int64(l.Gateways), 10)
	}
	return append(b, '}')
}

func appendTexts(b []byte, texts []string) []byte {
	b = append(b, '[')
	for i, text := range texts {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, text)
	}
	return append(b, ']')
}

// appendTime writes UTC with milliseconds, as a receive time has them; whole seconds stay whole.
func appendTime(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.UTC().Truncate(time.Millisecond).AppendFormat(b, "2006-01-02T15:04:05.999Z07:00")
	return append(b, '"')
}

func appendNumber(b []byte, number float64) []byte { return decoders.Number(number).AppendJSON(b) }

// appendText quotes a text; plain ASCII, which nearly all of ours is, goes without the JSON library.
func appendText(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(text) // a string always marshals
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"')
}
