package buffer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	manifestFormat = 1
	manifestName   = "manifest"
)

// manifest says which segments there should be, so that a missing file is noticed. It is a line of JSON and a line
// with its CRC-32C in hexadecimal.
type manifest struct {
	Format   int     `json:"format"`
	Epoch    uint64  `json:"epoch"` // how often the folder was opened; a restored copy has a lower one
	Segments []entry `json:"segments"`
}

// entry describes a segment: what its own meta says, and what is known since it was closed.
type entry struct {
	Number  uint32        `json:"number"` // never used again
	First   Seq           `json:"first"`
	Starts  [3]uint64     `json:"starts"`  // ordinals of the newest records before it, by lane
	Created time.Duration `json:"created"` // running time
	Last    Seq           `json:"last"`    // of the newest segment: not yet known
	Ends    [3]uint64     `json:"ends"`    // ordinals of its newest records
	Commits uint64        `json:"commits"` // how many are good, of a closed segment; 0: not known
	Closed  bool          `json:"closed"`

	guessed bool // Starts are not known: neither the manifest nor the file itself can say

	UUID [16]byte `json:"uuid,omitzero"` // of the file, for the case that its own meta is damaged
}

// fileName begins with the first sequence number. The number tells two segments apart of which the first was given up
// before anything was stored in it.
func (e entry) fileName() string { return fmt.Sprintf("%016x-%08x.seg", uint64(e.First), e.Number) }

// parseFileName is the reverse of fileName.
func parseFileName(name string) (entry, bool) {
	var e entry
	n, err := fmt.Sscanf(name, "%016x-%08x.seg", (*uint64)(&e.First), &e.Number)
	return e, err == nil && n == 2 && e.fileName() == name
}

func (m manifest) write(dir string) error {
	line, err := json.Marshal(m)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	line = fmt.Appendf(line, "%08x\n", crc32.Checksum(line, castagnoli))
	return replaceFile(filepath.Join(dir, manifestName), line)
}

// readManifest returns an error that wraps fs.ErrNotExist when there is none, ErrCorrupt when it cannot be used.
func readManifest(dir string) (manifest, error) {
	var m manifest
	data, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		return m, err
	}
	end := bytes.IndexByte(data, '\n') + 1
	if want := fmt.Sprintf("%08x\n", crc32.Checksum(data[:end], castagnoli)); string(data[end:]) != want {
		return m, fmt.Errorf("manifest: %w: checksum differs", ErrCorrupt)
	}
	if err := json.Unmarshal(data[:end], &m); err != nil {
		return m, fmt.Errorf("manifest: %w: %w", ErrCorrupt, err)
	}
	if m.Format != manifestFormat {
		return m, fmt.Errorf("manifest: %w: format %d is not ours (%d)", ErrCorrupt, m.Format, manifestFormat)
	}
	return m, nil
}

// listSegments finds the segments by their names, oldest first.
func listSegments(dir string) ([]entry, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var entries []entry
	for _, file := range files {
		if e, ok := parseFileName(file.Name()); ok {
			entries = append(entries, e)
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.Number, b.Number) })
	return entries, nil
}

// fileSize returns 0 for a file that is not there.
func fileSize(path string) (int64, error) {
	stat, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return stat.Size(), nil
}
