package buffer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
)

// check looks at all in a segment file that bbolt trusts without looking: a damaged page can make it panic on another
// goroutine, run for ever, write over what is in use, or answer with the wrong records. It uses plain reads only.
//
// A record of Urgent or Normal that is damaged in itself is no such thing: whoever reads it notices. What nobody would
// miss, in the other buckets, is.
type check struct {
	pages *pageFile
	known int    // the newest format that is understood
	only  bool   // the records; not what else is in the file
	top   uint64 // pages from here on are not in use
	state []byte // by page
	roots [len(bucketNames)]uint64
	meta  meta
	found bool // meta

	damaged []piece // records of Urgent and Normal
}

// What a page is.
const (
	pageUnknown = iota
	pageUsed
	pageFree
)

// checkFile checks a segment file that is not open for writing. An error that wraps ErrCorrupt says what is damaged.
func checkFile(path string, known int) (*check, error) {
	pages, file, err := openPages(path)
	if err != nil {
		return nil, err
	}
	c := &check{pages: pages, known: known}
	err = c.run()
	if err == nil && len(c.damaged) > 0 {
		err = c.lookForCopies(path)
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return c, fmt.Errorf("check: %w", err)
	}
	return c, nil
}

// lookForCopies returns ErrCorrupt when an intact copy of a damaged record is in pages that are not in use any more, which
// is what a salvage finds. What was made anew once has none.
func (c *check) lookForCopies(path string) error {
	if aside, err := filepath.Glob(path + "*" + suffixAside); err != nil || len(aside) > 0 {
		return err
	}
	carver := newCarver(c.pages, 0, entry{UUID: c.meta.UUID}, c.known)
	for _, found := range carver.carve() {
		if slices.ContainsFunc(c.damaged, func(p piece) bool { return p.bucket == found.bucket && p.key == found.key }) {
			return fmt.Errorf("%w: %d records, of which there are older copies", ErrCorrupt, len(c.damaged))
		}
	}
	return nil
}

func (c *check) run() error {
	m, err := c.newest()
	if err != nil {
		return err
	}
	if m.pages < 4 || m.pages > uint64(c.pages.size/pageSize) {
		return fmt.Errorf("%w: %d pages in a file of %d bytes", ErrCorrupt, m.pages, c.pages.size)
	}
	c.top, c.state = m.pages, make([]byte, m.pages)
	c.state[0], c.state[1] = pageUsed, pageUsed
	if err := c.rootBucket(m.root); err != nil {
		return err
	}
	for id, root := range c.roots {
		if root == 0 || c.only && bucketID(id) > bucketCarried {
			continue
		}
		if err := c.bucket(bucketID(id), root); err != nil {
			return fmt.Errorf("bucket %s: %w", bucketNames[id], err)
		}
	}
	if c.only {
		return nil
	}
	if err := c.freelist(m.freelist); err != nil {
		return err
	}
	if lost := bytes.IndexByte(c.state, pageUnknown); lost >= 0 {
		return fmt.Errorf("%w: page %d is neither used nor free", ErrCorrupt, lost)
	}
	return nil
}

// newest returns the meta of the last transaction. Both must be good: bbolt takes the older one instead of one that is
// not, and with it the state before the last commit.
func (c *check) newest() (newest boltMeta, err error) {
	var metas [2]boltMeta
	for i := range metas {
		at := int64(i) * pageSize
		if metas[i], err = c.pages.meta(at); err != nil {
			return newest, err
		}
		data, err := c.pages.read(at, pageHeader)
		if err != nil {
			return newest, err
		}
		if h := c.pages.header(data); h.id != uint64(i) || h.flags != flagMeta || metas[i].tx%2 != uint64(i) {
			return newest, fmt.Errorf("%w: meta page %d is of another page", ErrCorrupt, i)
		}
	}
	if metas[0].tx > metas[1].tx {
		metas[0], metas[1] = metas[1], metas[0]
	}
	if metas[0].tx+1 != metas[1].tx {
		return newest, fmt.Errorf("%w: transactions %d and %d", ErrCorrupt, metas[0].tx, metas[1].tx)
	}
	return metas[1], nil
}

// claim notes what a run of pages is, which nothing else may be.
func (c *check) claim(id, count uint64, what byte) error {
	if id < 2 || id >= c.top || count > c.top-id {
		return fmt.Errorf("%w: page %d of %d", ErrCorrupt, id, c.top)
	}
	for i := id; i < id+count; i++ {
		if c.state[i] != pageUnknown {
			return fmt.Errorf("%w: page %d is reached twice", ErrCorrupt, i)
		}
		c.state[i] = what
	}
	return nil
}

// page reads a page with all that belongs to it, and claims it.
func (c *check) page(id uint64) (header, []byte, error) {
	if id < 2 || id >= c.top {
		return header{}, nil, fmt.Errorf("%w: page %d of %d", ErrCorrupt, id, c.top)
	}
	data, err := c.pages.read(int64(id)*pageSize, pageSize)
	if err != nil {
		return header{}, nil, err
	}
	h := c.pages.header(data)
	if h.id != id {
		return h, nil, fmt.Errorf("%w: page %d says that it is %d", ErrCorrupt, id, h.id)
	}
	if err := c.claim(id, 1+uint64(h.overflow), pageUsed); err != nil {
		return h, nil, err
	}
	if h.overflow > 0 {
		data, err = c.pages.read(int64(id)*pageSize, int(1+h.overflow)*pageSize)
	}
	return h, data, err
}

// child is an element of a branch.
type child struct {
	key []byte
	id  uint64
}

// tree checks a page and all below it. Its first key is low, and all are below high; nil says that this is not given.
func (c *check) tree(id uint64, low, high []byte, leaf func(flags uint32, key, value []byte) error) error {
	h, data, err := c.page(id)
	if err != nil {
		return err
	}
	var children []child
	var end int
	switch h.flags {
	case flagLeaf:
		end, err = c.leaf(data, h.count, low, high, leaf)
	case flagBranch:
		children, end, err = c.branch(data, h.count, low, high)
	default:
		err = fmt.Errorf("%w: it is of kind %#x", ErrCorrupt, h.flags)
	}
	if err == nil && (end+pageSize-1)/pageSize != int(h.overflow)+1 {
		err = fmt.Errorf("%w: %d bytes on %d pages", ErrCorrupt, end, h.overflow+1)
	}
	if err == nil && h.count == 0 && low != nil {
		err = fmt.Errorf("%w: it is empty", ErrCorrupt)
	}
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	for i, child := range children {
		next := high
		if i+1 < len(children) {
			next = children[i+1].key
		}
		if err := c.tree(child.id, child.key, next, leaf); err != nil {
			return err
		}
	}
	return nil
}

// ordered checks a key against the one before it and the range of its page.
func ordered(i int, last, key, low, high []byte) error {
	switch {
	case len(key) == 0,
		i == 0 && low != nil && !bytes.Equal(key, low),
		i > 0 && bytes.Compare(last, key) >= 0,
		high != nil && bytes.Compare(key, high) >= 0:
		return fmt.Errorf("%w: key %x is out of order", ErrCorrupt, key)
	}
	return nil
}

// leaf checks the elements of a leaf, whose data lie one after the other, and returns where they end.
func (c *check) leaf(data []byte, count uint16, low, high []byte, f func(flags uint32, key, value []byte) error) (end int, err error) {
	end = pageHeader + int(count)*elementSize
	if end > len(data) {
		return 0, fmt.Errorf("%w: %d elements", ErrCorrupt, count)
	}
	var last []byte
	for i := range int(count) {
		e := c.pages.leafElement(data, i)
		if e.key != end || e.value < e.key || e.end < e.value || e.end > len(data) || e.flags&^flagBucket != 0 {
			return 0, fmt.Errorf("%w: element %d is not where it should be", ErrCorrupt, i)
		}
		key := data[e.key:e.value]
		if err := ordered(i, last, key, low, high); err != nil {
			return 0, err
		}
		if err := f(e.flags, key, data[e.value:e.end]); err != nil {
			return 0, err
		}
		last, end = key, e.end
	}
	return end, nil
}

// branch is the same for a branch. What it returns is a copy.
func (c *check) branch(data []byte, count uint16, low, high []byte) (children []child, end int, err error) {
	end = pageHeader + int(count)*elementSize
	if count == 0 || end > len(data) {
		return nil, 0, fmt.Errorf("%w: %d elements", ErrCorrupt, count)
	}
	var last []byte
	for i := range int(count) {
		at := pageHeader + i*elementSize
		raw := data[at : at+elementSize]
		key, size := at+int(c.pages.order.Uint32(raw)), int(c.pages.order.Uint32(raw[4:]))
		if key != end || size < 0 || size > len(data)-key {
			return nil, 0, fmt.Errorf("%w: element %d is not where it should be", ErrCorrupt, i)
		}
		end = key + size
		one := child{bytes.Clone(data[key:end]), c.pages.order.Uint64(raw[8:])}
		if err := ordered(i, last, one.key, low, high); err != nil {
			return nil, 0, err
		}
		children, last = append(children, one), one.key
	}
	return children, end, nil
}

// rootBucket finds the buckets, and checks those that lie inside the root: first the meta, which says whether the rest
// is for us to understand.
func (c *check) rootBucket(root uint64) error {
	var inline [len(bucketNames)][]byte
	var seen, others int
	err := c.tree(root, nil, nil, func(flags uint32, key, value []byte) error {
		id := bucketOf(key)
		if flags != flagBucket || len(value) < bucketHeader {
			return fmt.Errorf("%w: %q is not a bucket", ErrCorrupt, key)
		}
		if id < 0 { // perhaps of a newer version
			others++
			return nil
		}
		seen++
		if c.roots[id] = c.pages.order.Uint64(value); c.roots[id] == 0 {
			inline[id] = bytes.Clone(value[bucketHeader:])
		} else if len(value) != bucketHeader {
			return fmt.Errorf("%w: bucket %s of %d bytes", ErrCorrupt, key, len(value))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if page := inline[bucketMeta]; page != nil {
		if err := c.inline(bucketMeta, page); err != nil {
			return err
		}
	}
	if !c.found {
		return fmt.Errorf("%w: no meta", ErrCorrupt)
	}
	if seen != len(bucketNames) || others > 0 {
		return fmt.Errorf("%w: %d buckets and %d others", ErrCorrupt, seen, others)
	}
	for id, page := range inline[:bucketMeta] {
		if page == nil || c.only && bucketID(id) > bucketCarried {
			continue
		}
		if err := c.inline(bucketID(id), page); err != nil {
			return err
		}
	}
	return nil
}

// bucketOf returns the number of a bucket, negative for a name that is not ours.
func bucketOf(name []byte) int {
	for id, known := range bucketNames {
		if bytes.Equal(name, known) {
			return id
		}
	}
	return -1
}

// inline checks a bucket that is so small that it lies inside the root.
func (c *check) inline(id bucketID, page []byte) error {
	if len(page) < pageHeader {
		return fmt.Errorf("%w: bucket %s of %d bytes", ErrCorrupt, bucketNames[id], len(page))
	}
	h := c.pages.header(page)
	if h.id != 0 || h.flags != flagLeaf || h.overflow != 0 {
		return fmt.Errorf("%w: page of bucket %s", ErrCorrupt, bucketNames[id])
	}
	end, err := c.leaf(page, h.count, nil, nil, c.values(id))
	if err == nil && end != len(page) {
		err = fmt.Errorf("%w: %d bytes, not %d", ErrCorrupt, end, len(page))
	}
	if err == nil && id == bucketMeta {
		err = c.readMeta(page, h.count)
	}
	if err != nil {
		return fmt.Errorf("bucket %s: %w", bucketNames[id], err)
	}
	return nil
}

// readMeta reads the meta bucket.
func (c *check) readMeta(page []byte, count uint16) error {
	var value, sum []byte
	for i := range int(count) {
		e := c.pages.leafElement(page, i)
		switch key := page[e.key:e.value]; {
		case bytes.Equal(key, keyMeta):
			value = page[e.value:e.end]
		case bytes.Equal(key, keyMetaSum):
			sum = page[e.value:e.end]
		default:
			return fmt.Errorf("%w: key %q", ErrCorrupt, key)
		}
	}
	var err error
	c.meta, err = parseMeta(value, sum, c.known)
	c.found = c.meta.Format > 0
	return err
}

func (c *check) bucket(id bucketID, root uint64) error {
	return c.tree(root, nil, nil, c.values(id))
}

// values returns what checks the values of a bucket.
func (c *check) values(id bucketID) func(flags uint32, key, value []byte) error {
	return func(flags uint32, key, value []byte) error {
		if flags != 0 {
			return fmt.Errorf("%w: %x is a bucket", ErrCorrupt, key)
		}
		if id == bucketMeta {
			return nil
		}
		if len(key) != 8 {
			return fmt.Errorf("%w: key of %d bytes", ErrCorrupt, len(key))
		}
		_, err := checked(place{c.meta.UUID, id, binary.BigEndian.Uint64(key)}, value)
		switch {
		case err != nil && id < bucketID(Quarantine):
			c.damaged = append(c.damaged, piece{bucket: id, key: binary.BigEndian.Uint64(key)})
		case err != nil:
			return fmt.Errorf("value of %x: %w", key, err)
		}
		return nil
	}
}

// freelist checks the list of free pages.
func (c *check) freelist(id uint64) error {
	h, data, err := c.page(id)
	if err != nil {
		return fmt.Errorf("free list: %w", err)
	}
	count, data := uint64(h.count), data[pageHeader:]
	if count == manyFree {
		count, data = c.pages.order.Uint64(data), data[8:]
	}
	if h.flags != flagFreelist || count > uint64(len(data)/8) {
		return fmt.Errorf("%w: free list of kind %#x with %d pages", ErrCorrupt, h.flags, count)
	}
	last := uint64(0)
	for i := range count {
		free := c.pages.order.Uint64(data[8*i:])
		if free <= last {
			return fmt.Errorf("%w: free list is not in order", ErrCorrupt)
		}
		if err := c.claim(free, 1, pageFree); err != nil {
			return fmt.Errorf("free list: %w", err)
		}
		last = free
	}
	return nil
}
