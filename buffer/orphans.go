package buffer

import (
	"errors"
	"path/filepath"
	"slices"
)

// clearOrphans deals with segment files that the manifest does not name. One that is older than all that it names was
// done with: its deletion did not last. Any other is put aside: what is in it was accounted for, or is not known.
func (b *Buffer) clearOrphans() error {
	files, err := listSegments(b.options.Dir)
	if err != nil || len(b.segments) == 0 {
		return err
	}
	var errs []error
	for _, e := range files {
		if slices.ContainsFunc(b.segments, func(s *segment) bool { return s.Number == e.Number }) {
			continue
		}
		path := filepath.Join(b.options.Dir, e.fileName())
		if e.Number < b.segments[0].Number {
			errs = append(errs, removeIfThere(path))
			continue
		}
		name, err := putAside(path)
		b.log.Error("buffer found a segment that it does not know", "file", e.fileName(), "kept", filepath.Base(name), "err", err)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
