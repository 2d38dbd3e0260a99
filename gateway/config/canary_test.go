package config

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"belfry/gateway/lorawan"
)

// canaries are keys that must not be seen anywhere.
type canaries struct {
	random *rand.ChaCha8
	keys   [][]byte
}

func newCanaries() *canaries { return &canaries{random: rand.NewChaCha8([32]byte{4: 1})} }

// key returns a new one in hexadecimal digits.
func (c *canaries) key() string {
	key := make([]byte, 16)
	_, _ = c.random.Read(key)
	c.keys = append(c.keys, key)
	return hex.EncodeToString(key)
}

const glimpse = 5 // bytes of a key that must not be seen together

// find returns what of a key is in a text, in one of the forms that programs print bytes in; "" when nothing is.
func (c *canaries) find(text string) string {
	lower := strings.ToLower(text)
	for _, key := range c.keys {
		reversed := slices.Clone(key)
		slices.Reverse(reversed)
		for _, k := range [][]byte{key, reversed} {
			for at := 0; at+glimpse <= len(k); at++ {
				part := k[at : at+glimpse]
				for _, form := range []string{
					hex.EncodeToString(part), fmt.Sprintf("% x", part), fmt.Sprintf("%#v", part)[len("[]byte{") : len(fmt.Sprintf("%#v", part))-1],
					strings.Trim(fmt.Sprint(part), "[]"), strings.ReplaceAll(strings.Trim(fmt.Sprint(part), "[]"), " ", ","),
				} {
					if strings.Contains(lower, form) {
						return form
					}
				}
			}
			for skip := range 3 { // base64 of a text that the key begins in at any place
				encoded := base64.RawStdEncoding.EncodeToString(k[skip:])
				for _, form := range []string{encoded[:8], strings.NewReplacer("+", "-", "/", "_").Replace(encoded[:8])} {
					if strings.Contains(text, form) {
						return form
					}
				}
			}
		}
	}
	return ""
}

func TestCanariesAreFoundInEveryForm(t *testing.T) {
	c := newCanaries()
	digits := c.key()
	key := c.keys[0]
	for _, text := range []string{
		digits, strings.ToUpper(digits), digits[3:14], fmt.Sprint(key), fmt.Sprintf("% X", key), fmt.Sprintf("%#v", key),
		base64.StdEncoding.EncodeToString(key), base64.URLEncoding.EncodeToString(append([]byte("x"), key...)),
	} {
		if c.find("a "+text+" b") == "" {
			t.Errorf("not found in %s", text)
		}
	}
	if found := c.find("sensors/bins.csv:1:1: a DevEUI"); found != "" {
		t.Errorf("%q is found in nothing", found)
	}
}

// TestNoMessageShowsAKey puts keys into every place where one may end up by mistake.
func TestNoMessageShowsAKey(t *testing.T) {
	c := newCanaries()
	const header = "device;app_key;nwk_key;nwk_s_key;app_s_key;note\n"
	const device = "0012000000000012"
	files := map[string]string{
		"31 digits":              header + device + ";" + c.key()[1:] + ";;;;\n",
		"33 digits":              header + device + ";0" + c.key() + ";;;;\n",
		"upper case, a G":        header + device + ";" + strings.ToUpper(c.key())[:31] + "G;;;;\n",
		"0x":                     header + device + ";0x" + c.key() + ";;;;\n",
		"a list of bytes":        header + device + ";{ 0x" + strings.Join(pairs(c.key()), ", 0x") + " };;;;\n",
		"half":                   header + device + ";" + c.key()[:15] + ";;;;\n",
		"both kinds":             header + device + ";" + c.key() + ";;" + c.key() + ";" + c.key() + ";\n",
		"nwk_key alone":          header + device + ";;" + c.key() + ";;;\n",
		"nwk_s_key alone":        header + device + ";;;" + c.key() + ";;\n",
		"no dev_addr":            header + device + ";;;" + c.key() + ";" + c.key() + ";\n",
		"in the column device":   header + c.key() + ";" + c.key() + ";;;;\n",
		"in the note":            header + device + ";" + c.key() + ";;;;" + c.key() + "\n",
		"no header":              device + ";" + c.key() + "\n" + device + ";" + c.key() + "\n",
		"no header, key first":   c.key() + ";" + device + "\n",
		"the only line":          c.key() + "\n",
		"too many cells":         header + device + ";" + c.key() + ";;;;;;" + c.key() + "\n",
		"too few cells":          header + device + ";" + c.key() + "\n",
		"a quote":                header + device + ";\"" + c.key() + ";;;;\n",
		"a quote inside":         header + device + ";" + c.key()[:20] + "\"" + c.key() + ";;;;\n",
		"twice":                  header + device + ";" + c.key() + ";;;;\n" + device + ";" + c.key() + ";;;;\n",
		"no UTF-8":               header + device + ";" + c.key() + "\xff;;;;\n",
		"a zero byte":            header + device + ";" + c.key() + "\x00;;;;\n",
		"commas and semicolons":  strings.ReplaceAll(header, ";", ",") + device + ";" + c.key() + "\n",
		"a column of that name":  strings.Replace(header, "nwk_key", c.key(), 1) + device + ";" + c.key() + ";;;;\n",
		"two columns like it":    "device;" + strings.Repeat(c.key()+";", 2) + "\n",
		"shared":                 header + device + ";" + c.key() + ";;;;\n70b3d5e75e00a1f2;" + hex.EncodeToString(c.keys[len(c.keys)-1]) + ";;;;\n",
		"no sensor has it":       header + "70b3d5e75e00a1f9;" + c.key() + ";;;;\n",
		"payload key, 31 digits": "device;payload_key\n" + device + ";" + c.key()[1:] + "\n",
		"payload key, no sensor": "device;payload_key\nmeter;" + c.key() + "\n",
		"payload key as device":  "device;payload_key\n" + c.key() + ";" + c.key() + "\n",
		"payload key as address": "device;payload_key;meter_address\n" + device + ";" + c.key() + ";" + c.key() + "\n",
		"another DevEUI's digit": header + device[1:] + ";" + c.key() + ";;;;\n",
	}
	check := func(t *testing.T, dir string) {
		config, problems := Load(dir, noModels)
		if len(problems) == 0 && config.Keys.OTAA != 1 {
			t.Error("no problem")
		}
		text := problems.String() + fmt.Sprintf("%v %+v %#v", problems, problems, problems)
		if found := c.find(text); found != "" {
			t.Errorf("%s: %q of a key stands in\n%s", t.Name(), found, problems)
		}
	}
	for name, text := range files {
		t.Run(name, func(t *testing.T) {
			dir := validFolder(t)
			write(t, filepath.Join(dir, defaultKeyFile), text)
			check(t, dir)
		})
	}
	for _, column := range sensorColumns.names {
		t.Run("in the sensors' column "+column, func(t *testing.T) {
			cells := map[string]string{"id": "a", "device": device, "model": "dingtek-df702", column: c.key()}
			names := []string{"id", "device", "model"}
			if !slices.Contains(names, column) {
				names = append(names, column)
			}
			var line []string
			for _, name := range names {
				line = append(line, cells[name])
			}
			dir := validFolder(t)
			write(t, filepath.Join(dir, "sensors/bins.csv"), strings.Join(names, ",")+"\n"+strings.Join(line, ",")+"\nb,"+device+",nope"+strings.Repeat(",", len(names)-3)+"\n")
			check(t, dir)
		})
	}
	t.Run("in belfry.yaml", func(t *testing.T) {
		dir := validFolder(t)
		appendTo(t, filepath.Join(dir, "belfry.yaml"), "lorawan:\n  net_id: "+c.key()+"\n  app_key: "+c.key()+"\n  keys: "+c.key()+"\n  region: "+c.key()+"\n")
		check(t, dir)
	})
	t.Run("exposed", func(t *testing.T) {
		dir := validFolder(t)
		write(t, filepath.Join(dir, defaultKeyFile), header+device+";"+c.key()+";;;;\n")
		chmod(0o644)(t, filepath.Join(dir, defaultKeyFile))
		check(t, dir)
	})
}

// pairs cuts digits into bytes.
func pairs(digits string) []string {
	var all []string
	for ; digits != ""; digits = digits[2:] {
		all = append(all, digits[:2])
	}
	return all
}

// TestConfigIsPrintedWithoutKeys prints what was loaded, as a log line or a crash report may.
func TestConfigIsPrintedWithoutKeys(t *testing.T) {
	c := newCanaries()
	var written bytes.Buffer
	dir := validFolder(t)
	write(t, filepath.Join(dir, "sensors/bins.csv"), "id,device,model,dev_addr\na,0012000000000001,dingtek-df702,\nb,0012000000000002,dingtek-df702,26011f3a\n")
	write(t, filepath.Join(dir, defaultKeyFile), fmt.Sprintf("DevEUI,AppKey,NwkKey,NwkSKey,AppSKey,SNwkSIntKey,NwkSEncKey\n"+
		"0012000000000001,%s,%s,,,,\n0012000000000002,,,%s,%s,%s,%s\n", c.key(), c.key(), c.key(), c.key(), c.key(), c.key()))
	config, problems := Load(dir, Env{Models: noModels.Models, Log: slog.New(slog.NewTextHandler(&written, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if len(problems) > 0 || config.Keys != (Keys{OTAA: 1, ABP: 1}) || config.Network.Devices() != 2 {
		t.Fatalf("got %+v, problems %v, want a join and an ABP device", config, problems)
	}
	key, err := lorawan.ParseKey(hex.EncodeToString(c.keys[0]))
	must(t, err)
	devices := []lorawan.Device{{DevEUI: "0012000000000001", AppKey: &key}}
	values := []any{config, *config, config.Network, config.Keys, config.Inventory, config.Sources, devices, &devices[0], key}
	for _, source := range config.Sources {
		values = append(values, source)
	}
	for _, value := range values {
		text, err := json.Marshal(value)
		fmt.Fprintf(&written, "%v\n%+v\n%#v\n%s\n%v\n", value, value, value, text, err)
		slog.New(slog.NewJSONHandler(&written, nil)).Info("loaded", "value", value)
	}
	if found := c.find(written.String()); found != "" {
		t.Errorf("%q of a key is printed", found)
	}
}
