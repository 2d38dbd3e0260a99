package config

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// columns are what a kind of sheet may have.
type columns struct {
	names    []string
	required int               // so many of the first must be there
	spelled  map[string]string // other spellings, in small letters and digits only, and the name that each stands for
	secret   bool              // what stands in a cell is not shown, not even in a header: there may be none
}

// sheet is one CSV file while it is read.
type sheet struct {
	file    string
	text    []byte
	report  *report
	reader  *csv.Reader
	columns columns
	header  map[string]int // column number by name
	width   int            // of the header
	cells   []string       // of the current line
}

func newSheet(file string, text []byte, report *report) *sheet {
	comma, content := separator(text)
	s := &sheet{file: file, text: text, report: report, reader: csv.NewReader(bytes.NewReader(content))}
	s.reader.Comma = comma
	s.reader.ReuseRecord = true
	s.reader.TrimLeadingSpace = comma != '\t' // it would take empty cells for blanks
	s.reader.FieldsPerRecord = -1             // checked here, with the place
	return s
}

var separatorLine = regexp.MustCompile(`^(?i:"?sep=([;,\t|])"?)[ ,;\t]*\r?(\n|$)`)

// separator returns what separates cells, and the text to read. It is what Excel's first line sep=; says, which is made
// empty so that lines keep their numbers; else what the first line has most of: French spreadsheets write semicolons.
func separator(text []byte) (rune, []byte) {
	if match := separatorLine.FindSubmatchIndex(text); match != nil {
		return rune(text[match[2]]), text[match[4]:]
	}
	header, _, _ := bytes.Cut(text, []byte("\n"))
	best, most := ',', bytes.Count(header, []byte(","))
	for _, other := range []byte(";\t") {
		if count := bytes.Count(header, []byte{other}); count > most {
			best, most = rune(other), count
		}
	}
	return best, text
}

// readHeader reads the line that names the columns. With false the rest cannot be read, for a reason that is reported.
func (s *sheet) readHeader(columns columns) bool {
	s.columns = columns
	if !s.next() && s.report.counts[s.file] == 0 {
		s.report.add(Problem{File: s.file, Message: "nothing but the separator in the file"})
	}
	if s.report.counts[s.file] > 0 {
		return false
	}
	s.header, s.width = map[string]int{}, len(s.cells)
	ok := true
	for i, cell := range s.cells {
		name := columns.named(cell)
		if first, again := s.header[name]; again && !(columns.secret && name == "") {
			s.problem(i, fmt.Sprintf("column %q stands here again", name), fmt.Sprintf("first as column %d", first+1))
			ok = false
		} else if !slices.Contains(columns.names, name) {
			s.unknownColumn(i, cell)
		}
		s.header[name] = i
	}
	for _, name := range columns.names[:columns.required] {
		if _, found := s.header[name]; !found {
			s.problem(0, fmt.Sprintf("no column %q in the header", name), "the first line names the columns: "+strings.Join(columns.names, ", "))
			ok = false
		}
	}
	return ok
}

// named returns the name of the column that a cell of the header means; that of an unknown one in a secret sheet is "".
func (c *columns) named(cell string) string {
	name := strings.ToLower(cell)
	if slices.Contains(c.names, name) {
		return name
	}
	if other, ok := c.spelled[bare.Replace(name)]; ok || c.secret {
		return other
	}
	return name
}

// bare takes out what people put between the words of a name.
var bare = strings.NewReplacer("_", "", "-", "", " ", "", ".", "")

func (s *sheet) unknownColumn(i int, cell string) {
	hint := choices(strings.ToLower(cell), s.columns.names)
	if s.columns.secret {
		s.problem(i, fmt.Sprintf("column %d has a name that is not known", i+1), hint)
		return
	}
	if _, ok := keyColumns.spelled[bare.Replace(strings.ToLower(cell))]; ok && !strings.HasPrefix(hint, "did") {
		hint = "keys stand in " + defaultKeyFile
	}
	s.problem(i, fmt.Sprintf("unknown column %q", cell), hint)
}

// nextRow reads the next line that has as many cells as the header, and reports those that have not. False at the end.
func (s *sheet) nextRow() bool {
	for s.next() {
		switch {
		case !slices.ContainsFunc(s.cells, func(cell string) bool { return cell != "" }): // a sheet's empty last lines
		case len(s.cells) != s.width:
			s.problem(0, fmt.Sprintf("%d columns, the header has %d", len(s.cells), s.width), "quote cells that have a separator in them")
		default:
			return true
		}
	}
	return false
}

// next reads a line that can be read, and reports those that cannot. False at the end.
func (s *sheet) next() bool {
	for {
		cells, err := s.reader.Read()
		if err == nil {
			s.cells = cells
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			return true
		}
		parse, ok := errors.AsType[*csv.ParseError](err)
		if !ok {
			return false // the end; the text is in memory
		}
		s.add(parse.Line, parse.Column, parse.Err.Error(), `a quote inside of a cell is written "" and the cell stands in quotes`)
	}
}

// cell returns the content of a column, "" where the sheet does not have it.
func (s *sheet) cell(name string) string {
	if i, ok := s.header[name]; ok {
		return s.cells[i]
	}
	return ""
}

// here is the place of the current line.
func (s *sheet) here() line {
	number, _ := s.reader.FieldPos(0)
	return line{s.file, number}
}

// wrong reports a mistake in a column of the current line.
func (s *sheet) wrong(name, message, hint string) { s.problem(s.header[name], message, hint) }

func (s *sheet) problem(cell int, message, hint string) {
	number, column := s.reader.FieldPos(cell)
	s.add(number, column, message, hint)
}

// add reports a problem at a column counted in bytes, as encoding/csv does; people and editors count characters.
func (s *sheet) add(number, column int, message, hint string) {
	if s.report.wants(s.file) {
		column = characters(s.text, number, column)
	}
	s.report.add(Problem{File: s.file, Line: number, Column: column, Message: message, Hint: hint})
}

// characters turns a column in bytes into one in characters.
func characters(text []byte, number, column int) int {
	for ; number > 1; number-- {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	return utf8.RuneCount(text[:min(column-1, len(text))]) + 1
}
