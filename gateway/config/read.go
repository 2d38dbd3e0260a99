package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"unicode/utf8"
)

const maxFile = 16 << 20 // bytes

var byteOrderMark = []byte("\xef\xbb\xbf")

// readFile reads a file of text. With false there was a problem, which is reported.
func readFile(folder fs.FS, name string, report *report) ([]byte, bool) {
	text, err := readLimited(folder, name)
	if err != nil {
		report.add(Problem{File: name, Message: reason(err)})
		return nil, false
	}
	return checkText(name, text, report)
}

// checkText returns a file's text without byte order mark. With false it is none, which is reported.
func checkText(name string, text []byte, report *report) ([]byte, bool) {
	text = bytes.TrimPrefix(text, byteOrderMark)
	if at := invalidUTF8(text); at >= 0 {
		line, column := position(text, at)
		report.add(Problem{File: name, Line: line, Column: column,
			Message: fmt.Sprintf("byte 0x%02X is not UTF-8", text[at]), Hint: "save the file as UTF-8"})
		return nil, false
	}
	if at := bytes.IndexByte(text, 0); at >= 0 {
		line, column := position(text, at)
		report.add(Problem{File: name, Line: line, Column: column, Message: "a zero byte: the file is damaged or not a text"})
		return nil, false
	}
	if len(bytes.TrimSpace(text)) == 0 {
		report.add(Problem{File: name, Line: 1, Column: 1, Message: "the file is empty"})
		return nil, false
	}
	return text, true
}

func readLimited(folder fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(folder, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for its writer
		return nil, errors.New("not a regular file")
	}
	file, err := folder.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("larger than %d MiB", maxFile>>20)
	}
	return text, nil
}

// reason drops the path from an error, since the problem names the file.
func reason(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return err.Error()
}

func invalidUTF8(text []byte) int {
	for at := 0; at < len(text); {
		if text[at] < utf8.RuneSelf {
			at++
			continue
		}
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size <= 1 {
			return at
		}
		at += size
	}
	return -1
}

// position returns the line and the column, both from 1, of a byte.
func position(text []byte, at int) (line, column int) {
	before := text[:at]
	return bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
}
