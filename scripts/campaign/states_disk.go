package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"

	"belfry/scripts/campaign/faultfs"
)

const sectorSize = 512

// disk is what a disk may hold after a power cut. What was synced is there. Writes since then are there or not, sector by
// sector; names and sizes since then are there up to some point.
type disk struct {
	files   map[int]*diskFile
	names   map[string]int // durable
	pending []faultfs.Op   // changes of names since
}

// diskFile is one file: what is durable, and what was done since.
type diskFile struct {
	image   []byte
	pending []faultfs.Op
}

func newDisk(r faultfs.Recording) *disk {
	d := &disk{files: make(map[int]*diskFile), names: make(map[string]int)}
	for _, file := range r.Base {
		d.files[file.ID] = &diskFile{image: append([]byte(nil), file.Data...)}
		d.names[file.Name] = file.ID
	}
	return d
}

// advance takes in the next operation. random decides what a failed fsync leaves of what it should have written: the
// kernel tries that once and then forgets that it was not written.
func (d *disk) advance(op faultfs.Op, random *rand.Rand) {
	file := d.files[op.File]
	switch {
	case op.Kind == faultfs.Sync && file != nil:
		fate := keepAll
		if op.Errno != 0 {
			fate = anyFate(random)
		}
		file.image = file.after(fate, random)
		file.pending = nil
	case op.Errno != 0:
	case op.Kind == faultfs.Create:
		d.files[op.File] = &diskFile{}
		d.pending = append(d.pending, op)
	case op.Kind == faultfs.Rename, op.Kind == faultfs.Unlink:
		d.pending = append(d.pending, op)
	case op.Kind == faultfs.SyncDir:
		d.names = d.namesAfter(len(d.pending))
		d.pending = nil
		d.forget()
	case file != nil && (op.Kind == faultfs.Write || op.Kind == faultfs.Truncate):
		file.pending = append(file.pending, op)
	}
}

// forget drops files that have no name any more.
func (d *disk) forget() {
	named := make(map[int]bool)
	for _, id := range d.names {
		named[id] = true
	}
	maps.DeleteFunc(d.files, func(id int, _ *diskFile) bool { return !named[id] })
}

// namesAfter returns the names with the first n pending changes.
func (d *disk) namesAfter(n int) map[string]int {
	names := maps.Clone(d.names)
	for _, op := range d.pending[:n] {
		switch op.Kind {
		case faultfs.Create:
			names[op.Name] = op.File
		case faultfs.Rename:
			delete(names, op.Name)
			names[op.To] = op.File
		case faultfs.Unlink:
			delete(names, op.Name)
		}
	}
	return names
}

// fate says what becomes of writes that were not synced.
type fate struct {
	name    string
	writes  float64 // how many are kept, of those not decided by the rest
	sectors float64 // how many sectors of a write that is kept are kept
	prefix  bool    // writes up to some point are kept, sectors of the last one
}

var (
	keepAll = fate{name: "all kept", writes: 1, sectors: 1}
	fates   = []fate{
		keepAll,
		{name: "all dropped"},
		{name: "sectors", writes: 1, sectors: 0.5}, {name: "sectors", writes: 1, sectors: 0.5},
		{name: "few sectors", writes: 1, sectors: 0.1},
		{name: "most sectors", writes: 1, sectors: 0.9},
		{name: "writes", writes: 0.5, sectors: 1},
		{name: "torn write", prefix: true, sectors: 0.5}, {name: "torn write", prefix: true, sectors: 0.5},
	}
)

func anyFate(random *rand.Rand) fate { return fates[random.IntN(len(fates))] }

// after returns a copy of the file with what is kept of what was not synced.
func (f *diskFile) after(how fate, random *rand.Rand) []byte {
	image := append(make([]byte, 0, len(f.image)+1<<16), f.image...)
	if len(f.pending) == 0 {
		return image
	}
	length := len(f.pending)
	sized := len(f.pending) // how many changes of the size are kept
	if how.prefix {
		length = random.IntN(length + 1)
		sized = length
	} else if how.writes < 1 || how.sectors < 1 {
		sized = random.IntN(length + 1)
	}
	size := int64(len(image))
	for i, op := range f.pending {
		if op.Kind == faultfs.Truncate {
			if i < sized {
				size = op.Size
				image = resized(image, size)
			}
			continue
		}
		end := op.Offset + int64(len(op.Data))
		if i < sized {
			size = max(size, end)
		}
		switch {
		case how.prefix && i < length-1:
			image = overwrite(image, op, 1, random)
		case how.prefix && i == length-1, !how.prefix && (how.writes >= 1 || random.Float64() < how.writes):
			image = overwrite(image, op, how.sectors, random)
		}
	}
	return resized(image, size)
}

// overwrite writes a part of the sectors of a write.
func overwrite(image []byte, op faultfs.Op, part float64, random *rand.Rand) []byte {
	if end := op.Offset + int64(len(op.Data)); int64(len(image)) < end {
		image = resized(image, end)
	}
	if part >= 1 {
		copy(image[op.Offset:], op.Data)
		return image
	}
	for data, at := op.Data, op.Offset; len(data) > 0; {
		n := min(len(data), int(sectorSize-at%sectorSize))
		if random.Float64() < part {
			copy(image[at:], data[:n])
		}
		data, at = data[n:], at+int64(n)
	}
	return image
}

func resized(image []byte, size int64) []byte {
	if have := int64(len(image)); have < size {
		return append(image, make([]byte, size-have)...)
	}
	return image[:size]
}

// write makes a folder with what the disk may hold, and says how that was chosen.
func (d *disk) write(dir string, random *rand.Rand) (how string, err error) {
	chosen := anyFate(random)
	names := len(d.pending)
	if chosen != keepAll || random.IntN(2) == 0 {
		names = random.IntN(names + 1)
	}
	if chosen.name == "all dropped" && random.IntN(2) == 0 {
		names = 0
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	for name, id := range d.namesAfter(names) {
		file := d.files[id]
		if file == nil {
			continue
		}
		image := file.image
		if len(file.pending) > 0 {
			image = file.after(chosen, random)
		}
		if err := os.WriteFile(filepath.Join(dir, name), image, 0o600); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%s, %d of %d names", chosen.name, names, len(d.pending)), nil
}
