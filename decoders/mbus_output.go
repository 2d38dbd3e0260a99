package decoders

import "fmt"

// Bits of the status byte that are the same for all makers.
const (
	mbusApplication = 0x03
	mbusPowerLow    = 0x04
	mbusPermanent   = 0x08
	mbusTemporary   = 0x10
)

// identity returns fields that say who sent a telegram, and its status.
func (t *mbusTelegram) identity(fields []Field) []Field {
	if t.known {
		fields = append(fields,
			Field{Name: "manufacturer", Value: Text(t.address.makerText())},
			Field{Name: "meter_id", Value: Text(t.address.identificationText())},
			Field{Name: "version", Unit: "1", Value: Number(t.address.version)},
			Field{Name: "medium", Value: Text(t.address.mediumText())})
	}
	if t.header {
		fields = append(fields,
			Field{Name: "power_low", Value: Bool(t.status&mbusPowerLow != 0)},
			Field{Name: "permanent_error", Value: Bool(t.status&mbusPermanent != 0)},
			Field{Name: "temporary_error", Value: Bool(t.status&mbusTemporary != 0)},
			Field{Name: "application_error", Value: Bool(t.status&mbusApplication == 2)})
	}
	return fields
}

// output reads the records into one sample.
func (t *mbusTelegram) output(kind string) (Output, error) {
	const identity, bytes = 8, 5 // a record has about 5 bytes
	fields := t.identity(make([]Field, 0, identity+len(t.records)/bytes))
	r := reader{payload: t.records}
	var record mbusRecord
	var warnings []string
	count := 0
	for mbusNext(&r, &record) {
		count++
		field, left, ok := record.field(true)
		if ok {
			fields = append(fields, field)
		} else if left != "" {
			warnings = append(warnings, "left out "+left)
		}
	}
	if r.err != nil {
		return Output{}, r.err
	}
	if count == 0 {
		return Output{}, fmt.Errorf("%w: no data record", ErrMalformed)
	}
	return Output{Kind: kind, Samples: []Sample{{Fields: fields}}, Warnings: warnings}, nil
}
