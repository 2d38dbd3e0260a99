package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/brocaar/lorawan"

	"belfry/gateway/gatewaytest"
)

// forms are the ways in which a key may show.
func forms(key lorawan.AES128Key) map[string][]byte {
	backwards := slices.Clone(key[:])
	slices.Reverse(backwards)
	all := map[string][]byte{}
	for name, raw := range map[string][]byte{"": key[:], "reversed ": backwards} {
		all[name+"bytes"] = raw
		all[name+"hex"] = []byte(hex.EncodeToString(raw))
		all[name+"upper case hex"] = bytes.ToUpper(all[name+"hex"])
		all[name+"base64"] = []byte(base64.StdEncoding.EncodeToString(raw))[:20] // the end depends on what follows
		all[name+"list"] = []byte(strings.Trim(fmt.Sprint(raw), "[]"))
	}
	return all
}

// TestKeysLeaveTheirFileNowhere is security K3, K5 and K6 for radio keys: what a whole run leaves behind is searched for them.
func TestKeysLeaveTheirFileNowhere(t *testing.T) {
	w := newRadioTown(t, 4, true, "")
	text, err := os.ReadFile(filepath.Join(w.dir, "belfry.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	w.write("belfry.yaml", string(text)+"log: {level: debug}\n")
	process := w.start()
	w.waitReady()
	f := newForwarder(t, w.listen)
	f.pull()
	var keys []lorawan.AES128Key
	for _, b := range w.bins {
		f.joins(b)
		keys = append(keys, b.appKey, b.nwk, b.app)
		f.sends(b.send(7))
	}
	bad := w.bins[0].send(7) // each way in which a frame can be refused
	bad[len(bad)-1] ^= 1
	for range 12 {
		f.sends(bad)
	}
	w.bins[1].nonce--
	f.sends(w.bins[1].join())
	foreign := *w.bins[1]
	foreign.appKey[3] ^= 7
	f.sends(foreign.join())
	f.sends(w.bins[1].join()[:22])
	w.bins[2].counter = 0
	forged := *w.bins[2]
	f.sends(forged.send(8))
	w.bins[3].eui[7] ^= 0xff
	f.sends(w.bins[3].join())
	w.read(4)

	traces := map[string][]byte{}
	for _, path := range []string{"/metrics", "/readyz", "/healthz"} {
		_, body := w.get(path)
		traces[path] = []byte(body)
	}
	for _, command := range []string{
		"sensors unknown", "sensors unknown --json", "buffer status", "buffer list", "buffer export", "buffer quarantine list", "buffer verify", "check",
	} {
		code, stdout, stderr := belfry(t, append(strings.Fields(command), "--config", w.dir)...)
		traces["belfry "+command] = []byte(stdout + stderr)
		if code != 0 {
			t.Errorf("belfry %s: exit code %d: %s", command, code, stderr)
		}
	}
	if runtime.GOOS == "linux" {
		for _, name := range []string{"environ", "cmdline"} {
			content, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", process.command.Process.Pid, name))
			if err != nil {
				t.Fatal(err)
			}
			traces["the process's "+name] = content
		}
	}
	process.stop(t)
	traces["the log"] = []byte(process.log.String())
	files, err := filepath.Glob(filepath.Join(w.dir, "data", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files of the buffer: %v", err)
	}
	for _, file := range files {
		if content, err := os.ReadFile(file); err == nil && filepath.Base(file) != "event.key" {
			traces["buffer file "+filepath.Base(file)] = content
		}
	}
	for _, body := range w.read(4).bodies {
		traces["the stream"] = append(traces["the stream"], body...)
	}
	for where, content := range traces {
		for _, key := range keys {
			for form, looks := range forms(key) {
				if bytes.Contains(content, looks) {
					t.Errorf("%s has a key as %s", where, form)
				}
			}
		}
	}
	if !bytes.Contains(traces["belfry buffer export"], []byte(w.bins[0].eui.String())) || !bytes.Contains(traces["belfry sensors unknown"], []byte("may not join")) {
		t.Error("what is searched is not what was meant")
	}
}

// TestKeysThatCannotBeStopTheStart is security K1, K9 and F91-F93.
func TestKeysThatCannotBeStopTheStart(t *testing.T) {
	const good = "5d3a91c07e2b48f6a1d90c6be7452f38"
	for _, c := range []struct{ name, keys, mode, want string }{
		{"31 digits", "device,app_key\n" + binEUI(0) + "," + good[1:] + "\n", "0600", "secrets/lorawan-keys.csv:2:"},
		{"zeros", "device,app_key\n" + binEUI(0) + "," + strings.Repeat("0", 32) + "\n", "0600", "secrets/lorawan-keys.csv:2:"},
		{"published", "device,app_key\n" + binEUI(0) + ",2B7E151628AED2A6ABF7158809CF4F3C\n", "0600", "secrets/lorawan-keys.csv:2:"},
		{"twice", "device,app_key\n" + binEUI(0) + "," + good + "\n" + binEUI(0) + "," + good + "\n", "0600", "secrets/lorawan-keys.csv:3:"},
		{"half a session", "device,nwk_s_key\n" + binEUI(0) + "," + good + "\n", "0600", "secrets/lorawan-keys.csv:2:"},
		{"readable", "device,app_key\n" + binEUI(0) + "," + good + "\n", "0644", "chmod 600"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newRadioTown(t, 1, true, "")
			w.write("secrets/lorawan-keys.csv", c.keys)
			mode := os.FileMode(0o600)
			if c.mode == "0644" {
				mode = 0o644
			}
			if err := os.Chmod(filepath.Join(w.dir, "secrets/lorawan-keys.csv"), mode); err != nil {
				t.Fatal(err)
			}
			for _, command := range []string{"check", "run"} {
				code, stdout, stderr := belfry(t, command, "--config", w.dir)
				if code != exitFailed || !strings.Contains(stdout+stderr, c.want) {
					t.Errorf("%s: exit code %d, want %d and %q in\n%s%s", command, code, exitFailed, c.want, stdout, stderr)
				}
				for _, key := range []string{good, good[1:], "2B7E151628AED2A6", "2b7e151628aed2a6"} {
					if strings.Contains(stdout+stderr, key) {
						t.Errorf("%s shows a key: %s%s", command, stdout, stderr)
					}
				}
			}
		})
	}
}

func TestTheSameUplinkByRadioAndByANetworkServerIsOneEvent(t *testing.T) {
	broker := gatewaytest.StartMosquitto(t, "")
	w := newRadioTown(t, 3, false, fmt.Sprintf("  - {name: server, kind: chirpstack, server: %q}", broker.Address()))
	process := w.start()
	w.waitReady()
	f := newForwarder(t, w.listen)
	publisher := newPublisher(t, broker.Address())
	sent := map[string][]int{}
	for n := range 20 {
		for i, b := range w.bins {
			counter, distance := b.counter, 100*n+i
			phy := b.send(distance)
			server := func() {
				topic := "application/7/device/" + b.eui.String() + "/event/up"
				publisher.send(topic, fmt.Appendf(nil, `{"deduplicationId":"00000000-0000-4000-%04x-%012x","deviceInfo":{"devEui":%q},"devAddr":%q,`+
					`"fCnt":%d,"fPort":3,"data":%q}`, i, n, b.eui, b.address, counter, base64.StdEncoding.EncodeToString(frame(distance))))
				publisher.flush(t)
			}
			switch (n + i) % 4 { // which way is the first, or the only one
			case 0:
				f.sends(phy)
				server()
			case 1:
				server()
				f.sends(phy)
			case 2:
				f.sends(phy)
			case 3:
				server()
			}
			sent[b.id] = append(sent[b.id], distance)
		}
	}
	got := w.read(60)
	got.checkOnceAndInOrder(t, sent)
	process.stop(t)
	w.checkLedger(t, w.read(60).ids)
}
