package decoders

import (
	"bytes"
	"crypto/cipher"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

func fromHex(t testing.TB, digits string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCMACIsThatOfTheRFC has the examples of RFC 4493 with up to one block.
func TestCMACIsThatOfTheRFC(t *testing.T) {
	block := mbusCipher(fromHex(t, "2b7e151628aed2a6abf7158809cf4f3c"))
	for message, want := range map[string]string{
		"":                                 "bb1d6929e95937287fa37d129b756746",
		"6bc1bee22e409f96e93d7e117393172a": "070a16b46b4d4144f79bdd9dd04a287c",
	} {
		if got := mbusCMAC(block, fromHex(t, message)); hex.EncodeToString(got[:]) != want {
			t.Errorf("%q: got %x, want %s", message, got, want)
		}
	}
}

// TestCCMIsThatOfTheRFC has packet vector 1 of RFC 3610.
func TestCCMIsThatOfTheRFC(t *testing.T) {
	key, nonce := fromHex(t, "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf"), fromHex(t, "00000003020100a0a1a2a3a4a5")
	sealed := fromHex(t, "588c979a61c663d2f066d0c2c0f989806d5f6b61dac38417e8d12cfdf926e0")
	plain, err := mbusOpenCCM(key, nonce, sealed, fromHex(t, "0001020304050607"))
	if want := fromHex(t, "08090a0b0c0d0e0f101112131415161718191a1b1c1d1e"); err != nil || !bytes.Equal(plain, want) {
		t.Errorf("got %x, %v, want %x", plain, err, want)
	}
	for i := range sealed {
		changed := slices.Clone(sealed)
		changed[i] ^= 1
		if plain, err := mbusOpenCCM(key, nonce, changed, fromHex(t, "0001020304050607")); err == nil || plain != nil {
			t.Errorf("byte %d changed: got %x, %v", i, plain, err)
		}
	}
}

// oneRecord reads records and returns the first field.
func oneRecord(t *testing.T, digits string) (Field, bool) {
	t.Helper()
	r := reader{payload: fromHex(t, digits)}
	var record mbusRecord
	if !mbusNext(&r, &record) {
		t.Fatalf("%s: no record: %v", digits, r.err)
	}
	field, _, ok := record.field(true)
	if record = (mbusRecord{}); mbusNext(&r, &record) || r.err != nil {
		t.Errorf("%s: something is left: %v", digits, r.err)
	}
	return field, ok
}

func TestRecordsOfEveryCoding(t *testing.T) {
	for digits, want := range map[string]string{
		"01 13 ff":                     "volume = -0.001 m3",
		"02 13 0080":                   "none", // the least number is no value
		"02 13 0180":                   "volume = -32.767 m3",
		"03 13 010000":                 "volume = 0.001 m3",
		"04 13 39300000":               "volume = 12.345 m3",
		"06 13 393000000000":           "volume = 12.345 m3",
		"07 13 3930000000000000":       "volume = 12.345 m3",
		"05 13 0000c03f":               "volume = 0.0015 m3",
		"05 13 0000c07f":               "none", // not a number
		"05 13 0000807f":               "none", // infinite
		"09 13 12":                     "volume = 0.012 m3",
		"0a 13 3412":                   "volume = 1.234 m3",
		"0b 3b 0200f0":                 "flow = -0.002 m3/h",
		"0c 13 1a000000":               "none", // A is no digit
		"0c 13 000000ff":               "none", // only the first may be F
		"0e 13 563412000000":           "volume = 123.456 m3",
		"0d 13 c2 3412":                "volume = 1.234 m3",
		"0d 13 d2 3412":                "volume = -1.234 m3",
		"0d 13 e2 d204":                "volume = 1.234 m3",
		"0d fd11 03 434241":            `customer = "ABC"`,
		"0d fd11 02 0041":              `customer = "A"`,
		"0d fd11 00":                   "none",
		"00 13":                        "none",
		"08 13":                        "none", // chosen for readout
		"02 6c bf2c":                   `date = "2021-12-31"`,
		"02 6c ffff":                   "none",
		"02 6c 0000":                   "none",
		"04 6d 3b177f2a":               `date_time = "2019-10-31T23:59:00"`,
		"04 6d bb177f2a":               "none", // marked as not valid
		"04 6d 00331837":               `date_time = "2024-07-24T19:00:00"`,
		"06 6d 2c1aa1d52100":           "date_time = ",
		"42 13 0100":                   "volume_storage_1 = 0.001 m3",
		"82 01 13 0100":                "volume_storage_2 = 0.001 m3",
		"c2 10 13 0100":                "volume_tariff_1_storage_1 = 0.001 m3",
		"82 40 13 0100":                "volume_subunit_1 = 0.001 m3",
		"82 90 40 13 0100":             "volume_subunit_2_tariff_1 = 0.001 m3",
		"12 3b 0100":                   "flow_max = 0.001 m3/h",
		"22 3b 0100":                   "flow_min = 0.001 m3/h",
		"32 13 0100":                   "volume_error = 0.001 m3",
		"02 93 3c 0100":                "volume_reverse = 0.001 m3",
		"02 93 3b 0100":                "volume_forward = 0.001 m3",
		"02 93 7d 0100":                "volume = 1 m3",
		"02 93 74 0100":                "volume = 1e-05 m3",
		"02 93 5f 0100":                "none", // a VIFE without a name here
		"02 fb 10 0100":                "volume = 100 m3",
		"02 fb 1a f401":                "relative_humidity = 50 %",
		"02 fd 49 fa00":                "voltage = 250 V",
		"02 fd 17 0080":                "error_flags = 32768 1",
		"02 fd 97 1c 0100":             "error_flags = 1 1",
		"01 fd 71 b0":                  "rssi = -80 dBm",
		"02 fd 7e 0100":                "none", // a VIF without a name
		"02 7f 0100":                   "none", // the maker's own
		"02 ff 25 0100":                "none",
		"02 7c 03 6c7463 0100":         "none", // a unit in words
		"2f2f 01 13 01 2f2f":           "volume = 0.001 m3",
		"01 13 01 0f 0102030405060708": "volume = 0.001 m3",
		"01 13 01 1f 0102":             "volume = 0.001 m3",
		"04 79 78563412":               `enhanced_id = "305419896"`,
		"0c 78 78563402":               `fabrication_number = "02345678"`,
		"01 74 05":                     "actuality_duration = 5 s",
		"02 5b 0a00":                   "flow_temperature = 10 Cel",
		"02 59 e803":                   "flow_temperature = 10 Cel",
		"02 66 f6ff":                   "external_temperature = -1 Cel",
		"0d 13 f0 01000000000000000000000000000000": "none", // too many bytes for a number
	} {
		field, ok := oneRecord(t, digits)
		got := "none"
		if ok {
			got = strings.TrimSuffix(field.Name+" = "+string(field.Value.AppendJSON(nil))+" "+field.Unit, " ")
		}
		if got != want && !(want == "date_time = " && strings.HasPrefix(got, want)) {
			t.Errorf("%s: got %s, want %s", digits, got, want)
		}
	}
}

func TestRecordsThatCannotBeReadAreErrors(t *testing.T) {
	for _, digits := range []string{
		"01", "01 13", "02 13 01", "82", "82 01", "02 93", "02 93 bc", "02 fd", "0d 13", "0d 13 05 0102", "0d 13 ca", "0d 13 f7",
		"02 7c", "02 7c 05 01", "3f", "7f", "82 8080808080 8080808080 80 01 13 01", "02 93 8080808080 8080808080 80 00 0100",
	} {
		r := reader{payload: fromHex(t, digits)}
		var record mbusRecord
		if mbusNext(&r, &record) || r.err == nil {
			t.Errorf("%s: got no error", digits)
		}
	}
}

const (
	testKey     = "000102030405060708090a0b0c0d0e0f"
	testRecords = "2f2f 04 13 39300000 2f2f2f2f2f2f2f2f"
)

// wmbusTelegram puts an L field and an IZAR-like link layer before a payload.
func wmbusTelegram(payload []byte) []byte {
	link := []byte{0x44, 0xa5, 0x11, 0x64, 0x64, 0x64, 0x64, 0x70, 0x07}
	return append(append([]byte{byte(len(link) + len(payload))}, link...), payload...)
}

func checkVolume(t *testing.T, telegram, key []byte) {
	t.Helper()
	output, err := Run(Native("wmbus"), Uplink{Payload: telegram, Key: key})
	if err != nil || !strings.Contains(render(output, nil), "volume = 12.345 m3") {
		t.Errorf("%x: got %s, %v, want the volume", telegram, render(output, nil), err)
	}
}

func checkRefused(t *testing.T, telegram, key []byte, want string) {
	t.Helper()
	if _, err := Run(Native("wmbus"), Uplink{Payload: telegram, Key: key}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%x: got %v, want %q", telegram, err, want)
	}
}

// sealCBC encrypts whole blocks.
func sealCBC(key, vector, plain []byte) []byte {
	sealed := make([]byte, len(plain))
	cipher.NewCBCEncrypter(mbusCipher(key), vector).CryptBlocks(sealed, plain)
	return sealed
}

func TestSecurityMode7(t *testing.T) {
	key, counter := fromHex(t, testKey), fromHex(t, "11223344")
	derived := mbusDerive(key, counter, fromHex(t, "64646464"))
	sealed := sealCBC(derived[:], make([]byte, 16), fromHex(t, testRecords))
	head := fromHex(t, "8c 20 01 90 0f 002c 25 11223344 0102030405060708 7a 01 00 1007 10")
	telegram := wmbusTelegram(append(head, sealed...))
	checkVolume(t, telegram, key)
	checkRefused(t, telegram, nil, "a payload_key is missing")
	checkRefused(t, telegram, fromHex(t, "ff"+testKey[2:]), "wrong payload_key")
	checkRefused(t, wmbusTelegram(append(fromHex(t, "7a 01 00 1007 10"), sealed...)), key, "without a message counter")
	checkRefused(t, wmbusTelegram(append(fromHex(t, "7a 01 00 1007 20"), sealed...)), key, "key derivation 2")
	checkRefused(t, wmbusTelegram(append(fromHex(t, "7a 01 00 2007 10"), sealed...)), nil, "too few for the encrypted blocks")
	checkRefused(t, wmbusTelegram(fromHex(t, "90 0f 006c 25 11223344 0102030405060708 7a")), key, "fragment")
}

// TestSecurityMode5HasRecordsInClearBehind counts one block as encrypted.
func TestSecurityMode5HasRecordsInClearBehind(t *testing.T) {
	key := fromHex(t, testKey)
	vector := fromHex(t, "a511 64646464 70 07 0909090909090909")
	sealed := sealCBC(key, vector, bytes.Repeat([]byte{mbusFiller}, 16))
	telegram := wmbusTelegram(slices.Concat(fromHex(t, "7a 09 00 1005"), sealed, fromHex(t, "04 13 39300000")))
	checkVolume(t, telegram, key)
	checkRefused(t, telegram, key[:15], "payload_key of 15 bytes")
}

func TestExtendedLinkLayer(t *testing.T) {
	key, records := fromHex(t, testKey), fromHex(t, "78 04 13 39300000")
	checksum := wmbusChecksum(records)
	plain := append([]byte{byte(checksum), byte(checksum >> 8)}, records...)
	seal := func(address string) []byte {
		sealed := make([]byte, len(plain))
		mbusStream(key, fromHex(t, address+"20 01020324 0000 00"), sealed, plain)
		return sealed
	}
	short := wmbusTelegram(append(fromHex(t, "8d 20 01 01020324"), seal("a511 64646464 70 07")...))
	checkVolume(t, short, key)
	checkRefused(t, short, nil, "a payload_key is missing")
	checkRefused(t, short, fromHex(t, "ff"+testKey[2:]), "wrong payload_key")
	checkVolume(t, wmbusTelegram(append(fromHex(t, "8f 20 01 2d2c 37612980 35 16 01020324"), seal("2d2c 37612980 35 16")...)), key)
	checkVolume(t, wmbusTelegram(append(fromHex(t, "8d 20 01 01020304"), plain...)), nil)
	checkVolume(t, wmbusTelegram(append(fromHex(t, "8d 20 01 01020324"), plain...)), nil) // its receiver has decrypted it
	checkVolume(t, wmbusTelegram(append(fromHex(t, "8e 20 01 2d2c 37612980 35 16"), records...)), nil)
	checkRefused(t, wmbusTelegram(append(fromHex(t, "8d 20 01 01020304 0000"), records...)), nil, "wrong CRC of the extended link layer")
	checkRefused(t, wmbusTelegram(append(fromHex(t, "8d 20 01 01020364"), plain...)), key, "encryption 3")
	checkRefused(t, wmbusTelegram(bytes.Repeat(fromHex(t, "8c 20 01"), 5)), key, "layers")
}

// TestLongTelegramOfFormatB has the CRC after 126 bytes and another at its end.
func TestLongTelegramOfFormatB(t *testing.T) {
	telegram := wmbusTelegram(append(fromHex(t, "78 04 13 39300000"), bytes.Repeat([]byte{mbusFiller}, 150)...))
	telegram[0] += 2 * wmbusCRC
	crc := func(b []byte) []byte { c := wmbusChecksum(b); return []byte{byte(c >> 8), byte(c)} }
	first, rest := telegram[:wmbusFormatB-wmbusCRC], telegram[wmbusFormatB-wmbusCRC:]
	checkVolume(t, slices.Concat(first, crc(first), rest, crc(rest)), nil)
}
