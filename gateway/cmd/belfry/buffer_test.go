package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"belfry/buffer"
	"belfry/gateway/control"
	"belfry/gateway/demo"
	"belfry/gateway/event"
	"belfry/gateway/gatewaytest"
)

const bufferYAML = `gateway: box
town: {name: Town, commune: "99001", owner: "219900016"}
sources:
  - {name: radio, kind: chirpstack, server: "tcp://127.0.0.1:1"}
nats: {servers: ["nats://127.0.0.1:1"], stream: TOWN}
status: {listen: "127.0.0.1:0"}
buffer: {dir: %q}
`

// filledTown is a configuration whose buffer has two observations, of which the first is held, and the uplink of an
// unknown sensor and of a known one in quarantine.
func filledTown(t *testing.T) (config, dir string) {
	t.Helper()
	config = writeFolder(t, "sensors/a.csv", "id,device,model\nBIN-0001,"+binEUI(1)+",dingtek-df702\n")
	dir = filepath.Join(config, "data")
	if err := os.WriteFile(filepath.Join(config, "belfry.yaml"), fmt.Appendf(nil, bufferYAML, dir), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := eventKey("", dir); err != nil {
		t.Fatal(err)
	}
	b, err := buffer.Open(buffer.Options{Dir: dir, CommitDelay: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	append := func(lane buffer.Lane, data []byte) {
		t.Helper()
		done := make(chan error, 1)
		group := buffer.Group{Build: func(tx *buffer.Tx) error { tx.Append(lane, data); return nil }}
		if err := b.Append(t.Context(), []buffer.Group{group}, func(_ buffer.Outcome, err error) { done <- err }); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	for n := range 2 {
		append(buffer.Normal, event.Record{ID: fmt.Sprint("id", n), Subject: "town.99001.waste.observation.BIN-0001", Body: fmt.Appendf(nil,
			`{"id":"id%d","type":"belfry.observation.v1","subject":"BIN-0001","time":"2026-01-14T17:02:10Z"}`, n)}.Append(nil))
	}
	b.Published(buffer.Normal, 1)
	for bin := 1; bin <= 2; bin++ {
		topic, body := good(bin, 7)
		append(buffer.Quarantine, event.Quarantined{Stage: "inventory", Reason: "no sensor with device \"" + binEUI(bin) + "\"", Source: "radio", Topic: topic,
			Device: binEUI(bin), Port: 3, Payload: frame(7), Raw: body, Received: time.Now(), Identity: fmt.Sprint("ns:", bin)}.Append(nil))
	}
	return config, dir
}

// runTown runs the gateway of a configuration in this process until the test ends.
func runTown(t *testing.T, config string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	log := &lockedBuffer{}
	go func() { ended <- execute(program{ctx, log, log}, []string{"run", "--config", config}) }()
	t.Cleanup(func() {
		cancel()
		if code := <-ended; code != 0 {
			t.Errorf("the gateway ended with %d: %s", code, log)
		}
	})
	gatewaytest.WaitFor(t, 10*time.Second, "the gateway to answer", func() bool {
		client, err := control.Dial(ctx, filepath.Join(config, "data"))
		return err == nil && client.Close() == nil
	})
}

// withAndWithout runs a test on a folder alone, and beside a running gateway.
func withAndWithout(t *testing.T, test func(t *testing.T, config string, live bool)) {
	t.Run("folder", func(t *testing.T) {
		config, _ := filledTown(t)
		test(t, config, false)
	})
	t.Run("gateway", func(t *testing.T) {
		config, _ := filledTown(t)
		runTown(t, config)
		test(t, config, true)
	})
}

// says runs a buffer command and checks the exit code and what is printed.
func says(t *testing.T, code int, command string, wants ...string) (stdout string) {
	t.Helper()
	got, stdout, stderr := belfry(t, append([]string{"buffer"}, strings.Fields(command)...)...)
	if got != code {
		t.Errorf("%s: exit code %d, want %d: %s%s", command, got, code, stdout, stderr)
	}
	for _, want := range wants {
		if !strings.Contains(stdout+stderr, want) {
			t.Errorf("%s: no %q in\n%s%s", command, want, stdout, stderr)
		}
	}
	return stdout
}

func TestBufferStatusShowsALedgerThatBalances(t *testing.T) {
	withAndWithout(t, func(t *testing.T, config string, live bool) {
		runs := "none runs on it"
		if live {
			runs = fmt.Sprintf("pid %d", os.Getpid())
		}
		out := says(t, 0, "status -c "+config, "records received", "1.0 GiB", runs, "no sensor with device")
		if n := strings.Count(out, "balances"); n != 2 {
			t.Errorf("%d sums balance, want both:\n%s", n, out)
		}
		var status control.Status
		if err := json.Unmarshal([]byte(says(t, 0, "status --json -c "+config)), &status); err != nil {
			t.Fatal(err)
		}
		if err := status.Ledger.Balance(); err != nil || status.Ledger.Quarantined != 2 || status.Ledger.Held != 1 {
			t.Errorf("got %+v, %v", status.Ledger, err)
		}
	})
}

func TestBufferListShowsOneLineForEachRecord(t *testing.T) {
	withAndWithout(t, func(t *testing.T, config string, _ bool) {
		says(t, 0, "list -c "+config, "1  normal      held ", "2  normal      pending ", "3  quarantine  quarantined ", "town.99001.waste.observation.BIN-0001", "2026-01-14T17:02:10.000Z")
		out := says(t, 0, "list --json --sensor BIN-0001 --lane normal --from 2 --limit 1 -c "+config)
		var record control.Record
		if err := json.Unmarshal([]byte(out), &record); err != nil || record.Seq != 2 || record.ID != "id1" || record.Event != nil {
			t.Errorf("got %s, %v", out, err)
		}
		says(t, exitUsage, "list --lane fast -c "+config, "--lane")
	})
}

func TestBufferExportHasEverythingThatIsThere(t *testing.T) {
	withAndWithout(t, func(t *testing.T, config string, _ bool) {
		out := says(t, 0, "export --lane quarantine -c "+config)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if len(lines) != 2 {
			t.Fatalf("got %s", out)
		}
		var record struct {
			Seq     uint64
			Message struct{ Payload, Raw string }
		}
		if err := json.Unmarshal([]byte(lines[0]), &record); err != nil {
			t.Fatal(err)
		}
		if payload, _ := base64.StdEncoding.DecodeString(record.Message.Payload); record.Seq != 3 || !bytes.Equal(payload, frame(7)) || record.Message.Raw == "" {
			t.Errorf("got %s", lines[0])
		}
		if out := says(t, 0, "export --lane held -c "+config); !strings.Contains(out, `"event":{"id":"id0",`) || strings.Count(out, "\n") != 1 {
			t.Errorf("got %s", out)
		}
	})
}

func TestQuarantineCommandsLookRetryAndDrop(t *testing.T) {
	withAndWithout(t, func(t *testing.T, config string, _ bool) {
		out := says(t, 0, "quarantine list -c "+config, "inventory", "radio", binEUI(1), binEUI(2), "no sensor with device")
		if strings.Contains(out, "deduplicationId") {
			t.Errorf("the list has what the device sent:\n%s", out)
		}
		says(t, 0, "quarantine show 3 -c "+config, `"deduplicationId":`, fmt.Sprintf("payload    %x", frame(7)), "identity   ns:1")
		says(t, exitFailed, "quarantine show 2 -c "+config, "2 is not in quarantine")
		says(t, 0, "quarantine retry --all --dry-run -c "+config, "3: event ", "4: still in quarantine: no sensor", "nothing was changed", "1 left quarantine")
		says(t, exitFailed, "quarantine retry 4 99 -c "+config, "4: still in quarantine", "99: not in quarantine")
		says(t, 0, "quarantine retry --all --source radio -c "+config, "3: event ", "town.99001.waste.observation.BIN-0001", "4: still in quarantine")
		says(t, 0, "list --lane pending --sensor BIN-0001 -c "+config, "town.99001.waste.observation.BIN-0001")
		says(t, exitUsage, "quarantine drop --all -c "+config, "--yes")
		says(t, exitUsage, "quarantine drop -c "+config, "which messages?")
		says(t, exitFailed, "quarantine drop 3 -c "+config, "3: not in quarantine", "0 messages dropped")
		says(t, 0, "quarantine drop --all --yes --source other -c "+config, "0 messages dropped")
		says(t, 0, "quarantine drop --all --yes --stage inventory -c "+config, "1 message dropped")
		if out := says(t, 0, "quarantine list --json -c "+config); out != "" {
			t.Errorf("left: %s", out)
		}
		says(t, 0, "status -c "+config, "balances")
	})
}

func TestQuarantineIsChosenByModelAndTime(t *testing.T) {
	withAndWithout(t, func(t *testing.T, config string, _ bool) {
		for flags, want := range map[string]int{
			"--since 24h": 2, "--since 7d": 2, "--since 2026-01-14T17:00:00Z": 2, "--since 2099-01-01T00:00:00+01:00": 0, "--model dingtek-df702": 0,
			"--since 24h --source other": 0,
		} {
			if out := says(t, 0, "quarantine list --json "+flags+" -c "+config); strings.Count(out, "\n") != want {
				t.Errorf("%s: got %s, want %d messages", flags, out, want)
			}
		}
		for _, time := range []string{"yesterday", "-24h", "0d", "14.01.2026", "xd"} {
			says(t, exitUsage, "quarantine list --since="+time+" -c "+config, "how long ago")
		}
		says(t, 0, "quarantine retry --since 2099-01-01T00:00:00Z -c "+config, "0 left quarantine", "0 stay")
		says(t, 0, "quarantine retry --all --model other --since 24h -c "+config, "0 left quarantine", "0 stay")
		says(t, exitUsage, "quarantine retry 3 --since 24h -c "+config, "not both")
		says(t, 0, "quarantine retry --since 24h -c "+config, "3: event ", "1 left quarantine", "1 stay")
		if out := says(t, 0, "export --lane pending --sensor BIN-0001 -c "+config); strings.Count(out, `"flags":["replayed"]`) != 1 {
			t.Errorf("no event has the flag replayed in\n%s", out)
		}
		says(t, exitUsage, "quarantine drop --since 24h -c "+config, "--yes")
		says(t, 0, "quarantine drop --since 2099-01-01T00:00:00Z --yes -c "+config, "0 messages dropped")
		says(t, 0, "quarantine drop --since 24h --yes -c "+config, "1 message dropped")
	})
}

func TestBufferVerifyFindsAGoodBufferGood(t *testing.T) {
	withAndWithout(t, func(t *testing.T, config string, _ bool) {
		says(t, 0, "verify -c "+config, "as they were written")
	})
}

func TestBufferVerifyNamesWhatIsDamaged(t *testing.T) {
	config, dir := filledTown(t)
	segments, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil || len(segments) != 1 {
		t.Fatal(segments, err)
	}
	data, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	data = bytes.ReplaceAll(data, []byte(`{"id":"id1"`), []byte(`{"id":"id9"`)) // in old copies of its page too
	if err := os.WriteFile(segments[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	says(t, exitFailed, "verify -c "+config, "damaged: "+filepath.Base(segments[0]), "lane normal", "record 2", "3 records")
	var v control.Verification
	if err := json.Unmarshal([]byte(says(t, exitFailed, "verify --json --dir "+dir)), &v); err != nil || len(v.Damages) != 1 || v.Damages[0].First != 2 {
		t.Errorf("got %+v, %v", v, err)
	}
}

func TestLookingAtAFolderAloneNeedsNoConfigurationAndChangesNothing(t *testing.T) {
	_, dir := filledTown(t)
	before := folderContents(t, dir)
	says(t, 0, "status --dir "+dir, "balances")
	says(t, 0, "list --dir "+dir, "town.99001")
	says(t, 0, "export --dir "+dir, "id0")
	says(t, 0, "verify --dir "+dir)
	says(t, 0, "quarantine list --dir "+dir, "inventory")
	if after := folderContents(t, dir); after != before {
		t.Errorf("the folder was\n%s\nand is\n%s", before, after)
	}
	says(t, exitFailed, "quarantine retry 3 --dir "+dir, "--config")
	says(t, 0, "quarantine drop 3 --dir "+dir, "1 message dropped")
}

func folderContents(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, entry.Name(), info.Size(), info.ModTime())
	}
	return b.String()
}

func TestBufferCommandsSayWhatIsInTheWay(t *testing.T) {
	config, dir := filledTown(t)
	says(t, exitFailed, "status --dir "+t.TempDir(), "has no buffer in it")
	says(t, exitFailed, "quarantine drop 1 --dir "+t.TempDir(), "has no buffer in it")
	says(t, exitFailed, "status -c "+filepath.Join(config, "none"), "--dir")
	b, err := buffer.Open(buffer.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	says(t, exitInUse, "status -c "+config, fmt.Sprintf("pid %d", os.Getpid()), "does not answer", "stop it")
}

func TestRootDoesNotTakeTheFolderFromTheGatewaysUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	config, dir := filledTown(t)
	if err := os.Chown(dir, 4711, -1); err != nil {
		t.Fatal(err)
	}
	says(t, 0, "status -c "+config, "balances")
	says(t, exitFailed, "quarantine drop 3 -c "+config, "sudo -u '#4711'")
}

// brokenPipe takes a little and is gone then.
type brokenPipe struct{ left int }

func (b *brokenPipe) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, &os.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}
	}
	return len(p), nil
}

func TestAReaderThatHasEnoughIsNoError(t *testing.T) {
	config, _ := filledTown(t)
	var errs bytes.Buffer
	if code := execute(program{t.Context(), &brokenPipe{10}, &errs}, []string{"buffer", "export", "-c", config}); code != 0 || errs.Len() > 0 {
		t.Errorf("exit code %d: %s", code, &errs)
	}
	if err := quiet(errors.Join(io.ErrShortWrite)); err == nil {
		t.Error("another error went unseen")
	}
}

func TestWhatDevicesWriteCannotDriveATerminal(t *testing.T) {
	r := control.Record{Seq: 1, Message: &event.Quarantined{Stage: "inventory", Device: "a\x1b[2J", Reason: "no \x07 \u202e", Topic: "t\r\n", Raw: []byte("\x1b]0;x\x07")}}
	for _, text := range []string{quarantineLine(r), messageText(r), listLine(r)} {
		if strings.ContainsAny(strings.ReplaceAll(text, "\n", ""), "\x1b\x07\r\u202e") {
			t.Errorf("got %q", text)
		}
	}
}

func TestUnbalancedLedgerIsNamedAndFails(t *testing.T) {
	s := control.Status{Ledger: buffer.Ledger{Messages: 3, Kept: 2, Received: 2, Pending: 2}, Unbalanced: "3 messages"}
	if text := statusText(&s); !strings.Contains(text, "WRONG: should be 3") || strings.Count(text, "balances") != 1 {
		t.Errorf("got\n%s", text)
	}
}

func TestAnUnknownSensorsMessageArrivesOnceWhenTheSensorIsKnown(t *testing.T) {
	broker, err := demo.StartMQTT(demo.MQTTOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	w := newTown(t, broker.Address(), 2, "")
	p := w.start()
	w.waitReady()
	publisher := newPublisher(t, broker.Address())
	sent := map[string][]int{}
	for n := range 6 { // every third is of a bin that the inventory does not have
		publisher.send(good(n%3, n))
		if n%3 < 2 {
			sent[binID(n%3)] = append(sent[binID(n%3)], n)
		}
	}
	publisher.flush(t)
	w.read(4)
	gatewaytest.WaitFor(t, 10*time.Second, "two messages in quarantine", func() bool {
		_, body := w.get("/metrics")
		return strings.Contains(body, "\nbelfry_buffer_quarantined 2\n")
	})
	says(t, 0, "quarantine retry --all -c "+w.dir, "still in quarantine: no sensor with device", "0 left quarantine")
	p.stop(t)
	w.write("sensors/more.csv", "id,device,model\n"+binID(2)+","+binEUI(2)+",dingtek-df702\n")
	sent[binID(2)] = []int{2, 5}
	ids := expectedIDs(t, w, 2, 5)
	p = w.start()
	w.waitReady()
	publisher.send(good(0, 6))
	sent[binID(0)] = append(sent[binID(0)], 6)
	publisher.flush(t)
	out := says(t, 0, "quarantine retry --all -c "+w.dir, "2 left quarantine, 2 of them as events; 0 stay")
	for _, id := range ids {
		if !strings.Contains(out, id) {
			t.Errorf("no event %s in\n%s", id, out)
		}
	}
	says(t, 0, "quarantine retry --all -c "+w.dir, "0 left quarantine")
	got := w.read(7)
	got.checkOnceAndInOrder(t, sent)
	for _, id := range ids {
		if got.ids[id] != 1 {
			t.Errorf("event %s is on the stream %d times", id, got.ids[id])
		}
	}
	checkSchema(t, got.bodies)
	if n := bytes.Count(bytes.Join(got.bodies, nil), []byte(`"flags":["replayed"]`)); n != 2 {
		t.Errorf("%d events have the flag replayed, want 2", n)
	}
	says(t, 0, "status -c "+w.dir, "retried                                    2")
	if code, body := w.get("/readyz"); code != http.StatusOK || !partReady(body, "control") {
		t.Errorf("/readyz answers %d %s", code, body)
	}
	p.stop(t)
}

// expectedIDs are the ids that the events of a bin's messages would have had the first time, had it been known: those
// that decode gives them, with the gateway's key.
func expectedIDs(t *testing.T, w *town, numbers ...int) (ids []string) {
	t.Helper()
	key, err := eventKey("", filepath.Join(w.dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	identifier, err := event.NewIdentifier(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range numbers {
		var uplink struct{ DeduplicationID string }
		_, body := good(n%3, n)
		if err := json.Unmarshal(body, &uplink); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, identifier.ID("ns:"+uplink.DeduplicationID))
	}
	return ids
}
