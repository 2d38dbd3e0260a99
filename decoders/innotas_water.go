package decoders

import (
	"encoding/binary"
	"fmt"
)

// Innotas LoRa wireless water meter. Big-endian; the port is the number of the maker's protocol. Names are the maker's, in German.
//
// Kinds: reading (port 1), status (2: reading, reading at the due date, status), day (3: reading and what the last day was like),
// hours (4: reading and the flow of the last hours), sent_bytes (9), status_bits (10).
//
//	zs, stzs            L    Zählerstand, the reading now; Stichtagszählerstand, the reading at the due date
//	st_mon              1    month of the due date
//	st_type                  a bit beside it without a published meaning; st on port 10
//	intervall                how often it sends: norm, 2min, 1day, 7days or 14days
//	error_reset, error_rf, error_cs, error_batt, error_sabot, error_mess    faults: restart, radio, checksum, battery, sabotage,
//	                         measuring
//	error_leck               leakage, not on port 10
//	max_df_l_pro_h      L/h  greatest flow of the day
//	still_proz_pro_tag  %    part of the day in which nothing flowed
//	max_start_tag       1    how often the meter started
//	min_df_l_pro_h      L/h  least flow by its name; the meaning is not sure, in published frames it is more than the greatest
//	df_l_h1 .. df_l_h4  L/h  flow in the last hour, the one before, ...
//	sf7 .. sf12         By   sent with each spreading factor
//
// Litres is what the meter counts in; the descriptions of some published frames say cubic metres.

func init() { register("innotas-water", decodeInnotasWater) }

// innotasPorts says, by port, how long a message is and how many fields it has.
var innotasPorts = [...]struct{ bytes, fields int }{1: {4, 1}, 2: {11, 12}, 3: {11, 5}, 4: {12, 5}, 9: {24, 6}, 10: {4, 8}}

func decodeInnotasWater(uplink Uplink) (Output, error) {
	payload, port := uplink.Payload, int(uplink.Port)
	if port >= len(innotasPorts) || innotasPorts[port].bytes == 0 {
		return Output{}, fmt.Errorf("%w: port %d, the meter sends on 1, 2, 3, 4, 9 and 10", ErrUnknownKind, port)
	}
	if want := innotasPorts[port].bytes; len(payload) != want {
		return Output{}, fmt.Errorf("%w: %d bytes, a message on port %d has %d", ErrMalformed, len(payload), port, want)
	}
	fields, kind := make([]Field, 0, innotasPorts[port].fields), ""
	if port <= 4 {
		fields = append(fields, Field{Name: "zs", Unit: "L", Value: Number(binary.BigEndian.Uint32(payload))})
	}
	switch port {
	case 1:
		kind = "reading"
	case 2:
		kind, fields = "status", innotasStatus(fields, payload[4:])
	case 3:
		kind, fields = "day", innotasDay(fields, payload[4:])
	case 4:
		kind, fields = "hours", innotasHours(fields, payload[4:])
	case 9:
		kind, fields = "sent_bytes", innotasSent(fields, payload)
	case 10:
		// The first two bytes have no published meaning.
		kind, fields = "status_bits", innotasErrors(fields, payload[2])
		fields = append(fields,
			Field{Name: "st", Value: Bool(payload[3]&0x08 != 0)},
			Field{Name: "intervall", Value: Text(innotasInterval(payload[3]))})
	}
	return Output{Kind: kind, Samples: []Sample{{Fields: fields}}}, nil
}

func innotasStatus(fields []Field, b []byte) []Field {
	fields = append(fields, Field{Name: "stzs", Unit: "L", Value: Number(binary.BigEndian.Uint32(b))})
	fields = innotasErrors(fields, b[4])
	return append(fields,
		Field{Name: "error_leck", Value: Bool(b[5]&0x80 != 0)},
		Field{Name: "st_type", Value: Bool(b[5]&0x08 != 0)},
		Field{Name: "intervall", Value: Text(innotasInterval(b[5]))},
		Field{Name: "st_mon", Unit: "1", Value: Number(b[6])})
}

func innotasErrors(fields []Field, bits byte) []Field {
	return append(fields,
		Field{Name: "error_reset", Value: Bool(bits&0x20 != 0)},
		Field{Name: "error_rf", Value: Bool(bits&0x10 != 0)},
		Field{Name: "error_cs", Value: Bool(bits&0x08 != 0)},
		Field{Name: "error_batt", Value: Bool(bits&0x04 != 0)},
		Field{Name: "error_sabot", Value: Bool(bits&0x02 != 0)},
		Field{Name: "error_mess", Value: Bool(bits&0x01 != 0)})
}

// innotasInterval names how often the meter sends; the bit of the two minutes overrules the other two.
func innotasInterval(bits byte) string {
	if bits&0x04 != 0 {
		return "2min"
	}
	return [...]string{"norm", "1day", "7days", "14days"}[bits&0x03]
}

func innotasDay(fields []Field, b []byte) []Field {
	return append(fields,
		Field{Name: "max_df_l_pro_h", Unit: "L/h", Value: Number(binary.BigEndian.Uint16(b))},
		Field{Name: "still_proz_pro_tag", Unit: "%", Value: Number(float64(b[2]) / 2)},
		Field{Name: "max_start_tag", Unit: "1", Value: Number(binary.BigEndian.Uint16(b[3:]))},
		Field{Name: "min_df_l_pro_h", Unit: "L/h", Value: Number(binary.BigEndian.Uint16(b[5:]))})
}

func innotasHours(fields []Field, b []byte) []Field {
	for i, name := range [...]string{"df_l_h1", "df_l_h2", "df_l_h3", "df_l_h4"} {
		fields = append(fields, Field{Name: name, Unit: "L/h", Value: Number(binary.BigEndian.Uint16(b[2*i:]))})
	}
	return fields
}

func innotasSent(fields []Field, b []byte) []Field {
	for i, name := range [...]string{"sf7", "sf8", "sf9", "sf10", "sf11", "sf12"} {
		fields = append(fields, Field{Name: name, Unit: "By", Value: Number(binary.BigEndian.Uint32(b[4*i:]))})
	}
	return fields
}
