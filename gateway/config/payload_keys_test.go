package config

import (
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"belfry/gateway"
)

// folderWithMeters returns a town with sensors of which one is known by a name of its own, and these keys.
func folderWithMeters(t *testing.T, keys string) string {
	t.Helper()
	dir := validFolder(t)
	edit(t, filepath.Join(dir, mainFile), "sources:\n", "sources:\n  - {name: meters, kind: mqtt, server: tcp://127.0.0.1:1883, topics: [{topic: \"meters/{sensor}\", payload: hex}]}\n")
	write(t, filepath.Join(dir, "sensors/bins.csv"),
		"id,device,model,source\na,0012000000000012,dingtek-df702,\nb,70b3d5e75e00a1f2,dingtek-df702,\nc,meter 64745666,dingtek-df702,meters\n")
	write(t, filepath.Join(dir, defaultKeyFile), keys)
	return dir
}

func TestPayloadKeysReachTheirSensors(t *testing.T) {
	c := newCanaries()
	dir := folderWithMeters(t, "DevEUI,AppKey,payload_key,meter_address\n00:12:00:00:00:00:00:12,,"+c.key()+",37612980-2d2c3516\n"+
		"70b3d5e75e00a1f2,"+c.key()+","+c.key()+",\nmeter 64745666,,"+c.key()+",\n")
	config := load(t, dir)
	for _, want := range []struct {
		id, meter string
		key       int
	}{{"a", "376129802d2c3516", 0}, {"b", "", 2}, {"c", "", 3}} {
		payload := config.Inventory.Sensor(want.id).Payload
		if payload == nil || string(payload.Key[:]) != string(c.keys[want.key]) || hex.EncodeToString(payload.Meter) != want.meter {
			t.Errorf("sensor %q has not the key that it was given, or the meter %q", want.id, want.meter)
		}
	}
	if config.Keys != (Keys{OTAA: 1}) {
		t.Errorf("got %+v, want the one device with an app_key", config.Keys)
	}
	text := fmt.Sprintf("%v %+v %#v %s", config, config.Inventory, config.Inventory.Sensors(), config.Inventory.Sensor("a").Payload)
	if found := c.find(text); found != "" {
		t.Errorf("%q of a key is printed", found)
	}
}

func TestMistakesOfPayloadKeysAreReportedAndShowNone(t *testing.T) {
	c := newCanaries()
	const head = "device,app_key,payload_key,meter_address\n"
	for name, test := range map[string]struct {
		lines, want string
		tolerable   bool
	}{
		"too short":           {"0012000000000012,," + c.key()[1:] + ",\n", "2:19: payload_key: 31 hexadecimal digits, want 32", false},
		"twice":               {"0012000000000012,," + c.key() + ",\n0012000000000012,," + c.key() + ",\n", "3:1: a second line for this device (the first is line 2)", false},
		"twice, once to join": {"0012000000000012,," + c.key() + ",\n0012000000000012," + c.key() + ",,\n", `3:1: a second line for device "0012000000000012" (the first is line 2)`, false},
		"no sensor":           {"meter 7,," + c.key() + ",\n", "2: a payload_key for a device that no sensor has", true},
		"key as the device":   {c.key() + ",," + c.key() + ",\n", "2: a payload_key for a device that no sensor has", true},
		"address alone":       {"0012000000000012,,,376129802d2c3516\n", "2:20: a meter_address without a payload_key", false},
		"address too short":   {"0012000000000012,," + c.key() + ",37612980\n", "2:52: not the address of a meter (16 hexadecimal digits", false},
		"key everybody knows": {"0012000000000012,,51728910e66d83f851728910e66d83f8,\n", "2: payload_key: everybody knows this key: it is a pattern", true},
	} {
		t.Run(name, func(t *testing.T) {
			config, problems := Load(folderWithMeters(t, head+test.lines), noModels)
			if len(problems) != 1 || !strings.HasPrefix(problems[0].String(), defaultKeyFile+":"+test.want) || problems.Fatal() == test.tolerable {
				t.Errorf("got %v, fatal %v, want %q", problems, problems.Fatal(), test.want)
			}
			if found := c.find(problems.String() + fmt.Sprintf("%+v", config)); found != "" {
				t.Errorf("%q of a key is shown", found)
			}
			if test.tolerable && name == "key everybody knows" && config.Inventory.Sensor("a").Payload == nil {
				t.Error("the sensor has no key")
			}
		})
	}
}

var _ fmt.Formatter = gateway.PayloadKey{}
