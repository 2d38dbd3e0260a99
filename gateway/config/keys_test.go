package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belfry/gateway/lorawan"
)

// folderWithKeys returns a town whose sensors have keys of every kind, and these.
func folderWithKeys(t testing.TB) (string, *canaries) {
	t.Helper()
	c := newCanaries()
	dir := validFolder(t)
	appendTo(t, filepath.Join(dir, "belfry.yaml"), "lorawan: {region: EU868, net_id: \"000013\", channels: [867100000]}\n")
	write(t, filepath.Join(dir, "sensors/bins.csv"), "id,device,model,dev_addr,counter\n"+
		"a,0012000000000012,dingtek-df702,,strict\nb,70b3d5e75e00a1f2,dingtek-df702,,\n"+
		"c,70b3d5e75e00a1f3,dingtek-df702,26011F3A,relaxed\nd,70b3d5e75e00a1f4,dingtek-df702,26:01:1f:3a,\ne,70b3d5e75e00a1f5,dingtek-df702,,\n")
	write(t, filepath.Join(dir, defaultKeyFile), "device,app_key,nwk_key,nwk_s_key,app_s_key,s_nwk_s_int_key,nwk_s_enc_key,note\n"+
		"0012000000000012,"+c.key()+",,,,,,joins\n"+
		"70b3d5e75e00a1f2,"+c.key()+","+c.key()+",,,,,joins with 1.1\n"+
		"70b3d5e75e00a1f3,,,"+c.key()+","+c.key()+",,,ABP\n"+
		"70b3d5e75e00a1f4,,,"+c.key()+","+c.key()+","+c.key()+","+c.key()+",ABP with 1.1\n")
	return dir, c
}

func (c *canaries) parsed(i int) *lorawan.Key {
	key := lorawan.Key(c.keys[i])
	return &key
}

// devicesOf loads a folder and returns the devices that the network gets.
func devicesOf(t *testing.T, dir string) []lorawan.Device {
	t.Helper()
	l := newLoader(dir, noModels)
	l.load()
	if problems := l.report.sorted(); len(problems) > 0 {
		t.Fatalf("problems:\n%s", problems)
	}
	return l.radioDevices
}

// sameKeys compares keys without printing them when they differ.
var sameKeys = cmp.Comparer(func(a, b lorawan.Key) bool { return a == b })

func TestKeysMakeADeviceOfASensor(t *testing.T) {
	dir, c := folderWithKeys(t)
	want := []lorawan.Device{
		{DevEUI: "0012000000000012", AppKey: c.parsed(0)},
		{DevEUI: "70b3d5e75e00a1f2", AppKey: c.parsed(1), NwkKey: c.parsed(2)},
		{DevEUI: "70b3d5e75e00a1f3", DevAddr: "26011f3a", Relaxed: true, NwkSKey: c.parsed(3), AppSKey: c.parsed(4)},
		{
			DevEUI: "70b3d5e75e00a1f4", DevAddr: "26011f3a",
			NwkSKey: c.parsed(5), AppSKey: c.parsed(6), SNwkSIntKey: c.parsed(7), NwkSEncKey: c.parsed(8),
		},
	}
	if diff := cmp.Diff(want, devicesOf(t, dir), sameKeys); diff != "" {
		t.Errorf("devices (-want +got):\n%s", diff)
	}
	config := load(t, dir)
	if config.Network.Devices() != 4 || config.Network.NetID != 0x13 || len(config.Network.Region().Channels()) != 4 || config.Keys != (Keys{2, 2}) {
		t.Errorf("got a network of %d devices, NetID %06x, channels %v, keys %+v", config.Network.Devices(), config.Network.NetID,
			config.Network.Region().Channels(), config.Keys)
	}
}

// TestKeyFilesAreReadAsMakersAndSpreadsheetsWriteThem writes the same file in other ways.
func TestKeyFilesAreReadAsMakersAndSpreadsheetsWriteThem(t *testing.T) {
	dir, _ := folderWithKeys(t)
	path := filepath.Join(dir, defaultKeyFile)
	plain := readText(t, path)
	want := devicesOf(t, dir)
	header, lines, _ := strings.Cut(plain, "\n")
	for name, text := range map[string]string{
		"semicolons, BOM, CRLF": "\ufeff" + strings.NewReplacer(",", ";", "\n", "\r\n").Replace(plain),
		"line sep=;":            "sep=;\r\n" + strings.NewReplacer(",", ";", "\n", "\r\n").Replace(plain),
		"tabs":                  strings.ReplaceAll(plain, ",", "\t"),
		"capitals":              strings.ToUpper(plain),
		"names of LoRaWAN 1.0":  "DevEUI,AppKey,NwkKey,NwkSKey,AppSKey,SNwkSIntKey,NwkSEncKey,Note\n" + lines,
		"names of LoRaWAN 1.1":  "dev_eui,App Key,Nwk Key,F_NWK_S_INT_KEY,App-S-Key,SNwkSIntKey,NwkSEncKey,note\n" + lines,
		"in full":               "Device EUI,Application Key,Network Key,Network Session Key,Application Session Key,s_nwk_s_int_key,nwk_s_enc_key,note\n" + lines,
		"empty last lines":      header + "\n" + lines + ",,,,,,,\n\n",
		"DevEUI with colons":    header + "\n" + strings.Replace(lines, "0012000000000012", "00:12:00:00:00:00:00:12", 1),
	} {
		write(t, path, text)
		if diff := cmp.Diff(want, devicesOf(t, dir), sameKeys); diff != "" {
			t.Errorf("%s: devices (-want +got):\n%s", name, diff)
		}
	}
}

// TestExposedKeyFileStopsTheStart goes through the key file that is named and the one that is not.
func TestExposedKeyFileStopsTheStart(t *testing.T) {
	for _, named := range []bool{false, true} {
		for name, test := range map[string]struct {
			spoil func(t *testing.T, path string)
			want  string
			fatal bool
		}{
			"readable by the group": {chmod(0o640), "mode 0640 lets others read it (run: chmod 600 ", true},
			"readable by all":       {chmod(0o604), "mode 0604 lets others read it", true},
			"symbolic link":         {symlink, "it is a symbolic link", true},
			"a folder":              {folder, "not a regular file", false},
			"empty":                 {func(t *testing.T, path string) { write(t, path, "\n") }, "empty secret file", false},
			"far too large": {func(t *testing.T, path string) { write(t, path, strings.Repeat("x", 16<<20+1)) },
				"larger than 16 MiB", false},
		} {
			t.Run(fmt.Sprint(name, ", named: ", named), func(t *testing.T) {
				dir, c := folderWithKeys(t)
				place := defaultKeyFile + ": "
				if named {
					edit(t, filepath.Join(dir, mainFile), "lorawan: {", "lorawan: {keys: "+defaultKeyFile+", ")
					place = mainFile + ":13:17: lorawan.keys: "
				}
				test.spoil(t, filepath.Join(dir, defaultKeyFile))
				config, problems := Load(dir, noModels)
				if len(problems) != 1 || !strings.HasPrefix(problems[0].String(), place) || !strings.Contains(problems[0].Message, test.want) {
					t.Fatalf("got %v, want one at %q with %q", problems, place, test.want)
				}
				if problems.Fatal() != test.fatal || (config == nil) != test.fatal {
					t.Errorf("got fatal %v, config %v, want fatal %v", problems.Fatal(), config, test.fatal)
				}
				if found := c.find(problems.String()); found != "" {
					t.Errorf("%q of a key stands in %v", found, problems)
				}
			})
		}
	}
}

func TestKeyFileIsNeededOnlyWhereItIsNamed(t *testing.T) {
	dir := validFolder(t)
	if config := load(t, dir); config.Keys != (Keys{}) || config.Network == nil {
		t.Errorf("got %+v without keys", config)
	}
	dir, _ = folderWithKeys(t)
	must(t, os.Rename(filepath.Join(dir, defaultKeyFile), filepath.Join(dir, "radio.csv")))
	edit(t, filepath.Join(dir, mainFile), "lorawan: {", "lorawan: {keys: radio.csv, ")
	if config := load(t, dir); config.Keys != (Keys{OTAA: 2, ABP: 2}) {
		t.Errorf("got %+v from a file that is named", config.Keys)
	}
}

// TestSensorsOfRadioGatewaysNeedKeys has no other way for their messages, or another one too.
func TestSensorsOfRadioGatewaysNeedKeys(t *testing.T) {
	const sensors = "id,device,model,source\na,0012000000000001,dingtek-df702,\nb,0012000000000002,dingtek-df702,radio\n" +
		"c,0012000000000003,dingtek-df702,\nd,0012000000000004,dingtek-df702,\nbin,bin-7,dingtek-df702,bins\n"
	const none = "secrets/lorawan-keys.csv: 4 sensors without keys: a, b, c, ... (nobody can read their frames; make the file with mode 0600)\n"
	for name, test := range map[string]struct {
		kinds      map[string]string
		keys, want string
	}{
		"no file":             {map[string]string{"radio": "semtech-udp", "bins": "mqtt"}, "", none},
		"two kinds":           {map[string]string{"radio": "basicstation", "more": "gateway-bridge", "bins": "mqtt"}, "", none},
		"one of them":         {map[string]string{"radio": "semtech-udp", "bins": "mqtt"}, "0012000000000003,%s\n", "secrets/lorawan-keys.csv: 3 sensors without keys: a, b, d (nobody can read their frames; a line for each, with device and app_key)\n"},
		"ChirpStack too":      {map[string]string{"radio": "semtech-udp", "cs": "chirpstack", "bins": "mqtt"}, "0012000000000002,%s\n", ""},
		"ChirpStack, no file": {map[string]string{"radio": "semtech-udp", "ttn": "ttn", "bins": "mqtt"}, "", "secrets/lorawan-keys.csv: 1 sensor without keys: b (nobody can read their frames; make the file with mode 0600)\n"},
		"no radio":            {map[string]string{"radio": "mqtt", "bins": "mqtt"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := validFolder(t)
			write(t, filepath.Join(dir, "sensors/bins.csv"), sensors)
			l := newLoader(dir, noModels)
			l.kinds = test.kinds // as loadMain leaves them
			l.keys.name = defaultKeyFile
			if test.keys != "" {
				l.keys.text, l.keys.is = fmt.Appendf(nil, "device,app_key\n"+test.keys, newCanaries().key()), true
			}
			l.loadModels()
			l.loadSensors()
			problems := l.report.sorted()
			if problems.String() != test.want || problems.Fatal() {
				t.Errorf("got %s, want %s", problems, test.want)
			}
		})
	}
}

// TestSensorsOfOneAddressAreLimited has as many sensors with one dev_addr as may be, and one more.
func TestSensorsOfOneAddressAreLimited(t *testing.T) {
	c := newCanaries()
	dir := validFolder(t)
	var sensors, keys strings.Builder
	sensors.WriteString("id,device,model,dev_addr\n")
	keys.WriteString("device,nwk_s_key,app_s_key\n")
	for i := range maxSameAddr {
		fmt.Fprintf(&sensors, "s%d,00120000000000%02d,dingtek-df702,26011f3a\n", i, i+1)
		fmt.Fprintf(&keys, "00120000000000%02d,%s,%s\n", i+1, c.key(), c.key())
	}
	write(t, filepath.Join(dir, "sensors/bins.csv"), sensors.String())
	write(t, filepath.Join(dir, defaultKeyFile), keys.String())
	if got := len(devicesOf(t, dir)); got != maxSameAddr {
		t.Errorf("got %d devices, want %d", got, maxSameAddr)
	}
	appendTo(t, filepath.Join(dir, "sensors/bins.csv"), "last,0012000000000099,dingtek-df702,26011F3A\n")
	appendTo(t, filepath.Join(dir, defaultKeyFile), "0012000000000099,"+c.key()+","+c.key()+"\n")
	config, problems := Load(dir, noModels)
	if want := "sensors/bins.csv:18:37: more than 16 sensors with this dev_addr (give the device another one)\n"; config != nil || problems.String() != want {
		t.Errorf("got %s, want %s", problems, want)
	}
}

// TestManyTolerableProblemsDoNotStopTheStart has more shared keys than are named.
func TestManyTolerableProblemsDoNotStopTheStart(t *testing.T) {
	c := newCanaries()
	dir := validFolder(t)
	var keys strings.Builder
	keys.WriteString("device,app_key\n")
	for i := range 2 * (maxShared + 3) {
		if i%2 == 0 {
			c.key()
		}
		fmt.Fprintf(&keys, "00120000000000%02d,%x\n", i+1, c.keys[i/2])
	}
	write(t, filepath.Join(dir, defaultKeyFile), keys.String())
	config, problems := Load(dir, noModels)
	if config == nil || len(problems) != maxShared+2 || !strings.Contains(problems.String(), "3 more keys that several devices have") {
		t.Errorf("got %s", problems)
	}
	report := newReport()
	for i := range 2 * maxProblems {
		report.add(Problem{File: "a", Line: i, Message: "tolerable", Tolerable: true})
	}
	if report.sorted().Fatal() {
		t.Error("many tolerable problems are fatal")
	}
	report.add(Problem{File: "a", Message: "fatal"})
	if !report.sorted().Fatal() {
		t.Error("a fatal problem after many others is not")
	}
}

func TestKeysThatEverybodyKnowsAreFoundInAnyForm(t *testing.T) {
	for key, by := range publishedKeys {
		if by == "" || published(key, "0012000000000012") != by {
			t.Errorf("a key that %q does not stand for itself", by)
		}
		if patterned(key) && by == "it is in the list of IOActive's LoRaWAN Auditing Framework" {
			t.Error("a key of the list is a pattern, and needs not stand there")
		}
	}
	random := newCanaries()
	for range 10_000 {
		random.key()
		if by := published(lorawan.Key(random.keys[0]), "0012000000000012"); by != "" {
			t.Errorf("a random key: %s", by)
		}
		random.keys = random.keys[:0]
	}
}
