package control

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"belfry/buffer"
	"belfry/gateway"
	"belfry/gateway/event"
)

// Folder is a Buffer that this process has open.
type Folder struct {
	Dir     string
	Store   *buffer.Buffer
	Retrier *gateway.Retrier // nil: there is no configuration to decode with
	Limit   bool             // the size limit of Store is that of the configuration
}

var _ Buffer = (*Folder)(nil)

// maxGroups is how many groups of quarantine a Status names.
const maxGroups = 10

// Status implements Buffer.
func (f *Folder) Status(ctx context.Context) (Status, error) {
	stats := f.Store.Stats()
	s := Status{
		Dir: f.Dir, Ledger: stats.Ledger, Pending: PendingByLane{stats.Pending[buffer.Urgent], stats.Pending[buffer.Normal]},
		Oldest: stats.Oldest.Seconds(), LastSeq: stats.LastSeq, Bytes: stats.Bytes, Segments: stats.Segments,
		Damaged: stats.Damaged, LastCommit: stats.LastCommit, SetAside: setAside(f.Dir),
	}
	if err := stats.Ledger.Balance(); err != nil {
		s.Unbalanced = err.Error()
	}
	if stats.Failing != nil {
		s.Failing = stats.Failing.Error()
	}
	if f.Limit {
		s.MaxBytes = stats.MaxBytes
	}
	var err error
	s.Quarantine, s.More, err = f.groups(ctx)
	return s, err
}

// setAside lists the files that the buffer found damaged.
func setAside(dir string) []File {
	files := []File{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return files
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && strings.HasSuffix(entry.Name(), ".bad") {
			files = append(files, File{filepath.Base(entry.Name()), info.Size()})
		}
	}
	return files
}

// maxCounted bounds the groups that are counted apart: reasons may name devices.
const maxCounted = 10_000

// groups counts what is in quarantine by what it has in common; more is what is not in the largest groups.
func (f *Folder) groups(ctx context.Context) (largest []Group, more uint64, err error) {
	counts := map[Group]uint64{}
	err = f.eachQuarantined(ctx, func(record buffer.Record) {
		key := Group{Stage: Damaged, Reason: "not what was written"}
		if message, err := event.ParseQuarantined(record.Data); err == nil && message.Stage != "" {
			key = Group{Stage: message.Stage, Source: message.Source, Model: message.Model, Reason: message.Reason}
		}
		if _, known := counts[key]; known || len(counts) < maxCounted {
			counts[key]++
		} else {
			more++
		}
	})
	largest = make([]Group, 0, len(counts))
	for group, n := range counts {
		group.Count = n
		largest = append(largest, group)
	}
	slices.SortFunc(largest, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Stage, b.Stage), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Reason, b.Reason))
	})
	for _, group := range largest[min(len(largest), maxGroups):] {
		more += group.Count
	}
	return largest[:min(len(largest), maxGroups)], more, err
}

func (f *Folder) eachQuarantined(ctx context.Context, look func(buffer.Record)) error {
	for from := buffer.Seq(1); ; {
		records, err := f.Store.Read(buffer.Quarantine, from, readAtOnce)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || len(records) == 0 {
			return err
		}
		for _, record := range records {
			look(record)
			from = record.Seq + 1
		}
	}
}

// Drop implements Buffer.
func (f *Folder) Drop(ctx context.Context, seqs []buffer.Seq) ([]buffer.Seq, error) {
	there := []buffer.Seq{}
	for _, seq := range seqs {
		records, err := f.Store.Read(buffer.Quarantine, seq, 1)
		if err != nil {
			return nil, err
		}
		if len(records) > 0 && records[0].Seq == seq && !slices.Contains(there, seq) {
			there = append(there, seq)
		}
	}
	return there, f.Store.Drop(ctx, there...)
}

// errNoConfiguration says why nothing can be decoded.
var errNoConfiguration = errors.New("decoding again needs the configuration (give its folder with --config)")

// Retry implements Buffer.
func (f *Folder) Retry(ctx context.Context, seqs []buffer.Seq, tryOnly bool) ([]gateway.Retried, error) {
	switch {
	case f.Retrier == nil:
		return nil, errNoConfiguration
	case tryOnly:
		return f.Retrier.Try(seqs...)
	}
	return f.Retrier.Retry(ctx, seqs...)
}
