package config

import (
	"encoding/hex"

	"belfry/gateway/lorawan"
)

// publishedKeys are keys that stand in manuals, examples and lists, and who publishes each.
var publishedKeys = keysBySource(map[string][]string{
	// FIPS 197 and NIST SP 800-38A, the AES example key; Semtech's LoRaMac-node, RAK's and Seeed's examples took it over.
	"the example of the AES standard, which Semtech, RAK and others took over": {"2B7E151628AED2A6ABF7158809CF4F3C"},
	// Lora-net/LoRaMac-node, src/peripherals/soft-se/se-identity.h.
	"an example of Semtech's LoRaMac-node": {"5458C6F6F865871F56AFC8F4C12AEAE6", "D202956BF536FF1529A08358AC3EE888"},
	// User guides of Milesight's sensors ("AppKey: 5572404C..."), also its D2D key; reads Ur@LinkLoRa2018#.
	"the default of Milesight": {"5572404C696E6B4C6F52613230313823"},
	// Examples of Heltec's ESP32 and CubeCell libraries (appKey; nwkSKey and appSKey).
	"an example of Heltec": {
		"88888888888888888888888888886601",
		"15B1D0EFA463DFBE3D11181E1EC7DA85", "D72C78758CDCCABF55EE4A778D16EF67",
	},
	// Azure IoT Edge LoRaWAN starter kit: Arduino samples and provisioning scripts.
	"an example of the Azure LoRaWAN starter kit": {"8AFE71A145B253E49C3031AD068277A1", "3B7E151628AED2A6ABF7158809CF4F3C"},
	// ZigBee's well-known link key, "ZigBeeAlliance09"; in the list below too.
	"the link key of ZigBee": {"5A6967426565416C6C69616E63653039"},
	// IOActive, LoRaWAN Auditing Framework, auditing/analyzers/bruteforcer/keys.txt, without those that patterned finds.
	"it is in the list of IOActive's LoRaWAN Auditing Framework": {
		"BEC499C69E9C939E413B663961636C61", "EABB99CFEA1541BACF598FC318BC5994", "162B87DB64C2995A894F8358229EE9C4",
		"CC97EAA88E4B5E78AC4E0460FD810C9F", "9E24D464BEA957B8D12DC31122334455", "9E24D464BEA957B8D12DC3FD2D4DA192",
		"5A8470C4806F4A87CEF4D5F2D9855566", "F5A3B185DFE452C8EDCA3499ABCD0341", "A23C96EE13804963F8C2BD6285448198",
		"01020304050607080910111213141516", "6DD59C09B8D2074F0B76C6AC55FF4522", "B429C9C903D8442C5BF684FB5EF00219",
		"19A1E6F677C4BE5EACDE57291F868C3B", "B8B4330DFDD5D861E737A6C95E5FD3F0", "C418F299CC331BDA4E0AAA81B17F29FE",
		"1F33A170A5F1FDA0AB697AAE2B95916B", "A6B08140DAE1D795EBFA5A6DEE1F4DBD", "09A503D6256F9EF612A15181F583880A",
		"76543234567898765432234567876543", "68F8D97F6DDB86C9F53A8D77E7E57B19",
		"4309D4D763D9A22FB85C40302B77030A", "1122334455667788AABBCCDDEEFF0123", "314E67687E534F5EA61A113C4A743BFD",
		"1516171819101A1B1C1D1E1F20212223", "DD6BE505DF14903E7DDBF2DA61A222D0",
	},
})

// listedWords make up the other 256 keys of that list, four words each.
var listedWords = map[string]bool{"0018b244": true, "41524632": true, "0018b200": true, "00000912": true}

func keysBySource(sources map[string][]string) map[lorawan.Key]string {
	keys := map[lorawan.Key]string{}
	for source, written := range sources {
		for _, digits := range written {
			key, err := lorawan.ParseKey(digits)
			if err != nil {
				panic("config: published key of " + source + ": " + err.Error())
			}
			if _, twice := keys[key]; twice {
				panic("config: published key of " + source + " stands here twice")
			}
			keys[key] = source
		}
	}
	return keys
}

// published says why everybody knows a key, "" when it may be a secret. One that is drawn at random is refused once in 2^60
// times.
func published(key lorawan.Key, eui string) string {
	if by, ok := publishedKeys[key]; ok {
		return by
	}
	digits := hex.EncodeToString(key[:])
	switch {
	case digits == eui+eui:
		return "it is the DevEUI twice"
	case patterned(key):
		return "it is a pattern"
	case listedWords[digits[:8]] && listedWords[digits[8:16]] && listedWords[digits[16:24]] && listedWords[digits[24:]]:
		return "it is in the list of IOActive's LoRaWAN Auditing Framework"
	case eui != "" && (digits[:euiDigits] == eui || digits[euiDigits:] == eui):
		return "half of it is the DevEUI"
	}
	return ""
}

// patterned says whether a key is one that people type for an example: a half twice, bytes that count, digits that are all
// doubled, nearly all bytes the same.
func patterned(key lorawan.Key) bool {
	counting, doubled := true, true
	var same [256]int
	most := 0
	for i, b := range key {
		same[b]++
		most = max(most, same[b])
		counting = counting && (i == 0 || b-key[i-1] == key[1]-key[0])
		doubled = doubled && b>>4 == b&15
	}
	return counting || doubled || most >= len(key)-3 || [8]byte(key[:8]) == [8]byte(key[8:])
}
