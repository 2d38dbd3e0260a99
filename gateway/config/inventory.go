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

	"belfry/gateway"
	"belfry/gateway/event"
)

const (
	sensorsFolder = "sensors"
	maxSensors    = 50_000
)

// columns of a sensor file; the first three are required.
var columns = []string{"id", "device", "model", "service", "source", "kind", "lat", "lon", "asset", "interval", "note"}

const requiredColumns = 3

// line is where a sensor stands.
type line struct {
	file   string
	number int
}

// inventory is what is known of the sensors read so far.
type inventory struct {
	*loader
	sensors []gateway.Sensor
	ids     map[string]line
	tokens  map[string]line    // by token, of the ids that are not their own token
	devices map[[2]string]line // by source and device
	first   map[string]line    // by device, whatever the source
	hints   map[string]string  // for names of models that do not exist

	services []string // that there are
}

// loadSensors reads sensors/*.csv.
func (l *loader) loadSensors() {
	v := &inventory{
		loader: l, ids: map[string]line{}, tokens: map[string]line{}, devices: map[[2]string]line{}, first: map[string]line{}, hints: map[string]string{},
		services: event.Services(),
	}
	files := l.list(l.folder, sensorsFolder, ".csv", l.report)
	for _, file := range files {
		if text, ok := readFile(l.folder, file, l.report); ok {
			v.readSheet(file, text)
		}
	}
	faulty := func(file string) bool { return l.report.counts[file] > 0 }
	if len(v.sensors) == 0 && !slices.ContainsFunc(append(files, sensorsFolder), faulty) {
		l.report.add(Problem{File: sensorsFolder, Message: "no sensor", Tolerable: true,
			Hint: "every message would go to quarantine; add " + sensorsFolder + "/*.csv"})
	}
	l.config.Inventory = gateway.NewInventory(v.sensors)
}

// sheet is one file of sensors while it is read.
type sheet struct {
	*inventory
	file   string
	text   []byte
	reader *csv.Reader
	header map[string]int // column number by name
	cells  []string       // of the current line
}

func (v *inventory) readSheet(file string, text []byte) {
	comma, content := separator(text)
	s := &sheet{inventory: v, file: file, text: text, reader: csv.NewReader(bytes.NewReader(content))}
	s.reader.Comma = comma
	s.reader.ReuseRecord = true
	s.reader.TrimLeadingSpace = comma != '\t' // it would take empty cells for blanks
	s.reader.FieldsPerRecord = -1             // checked here, with the place
	if !s.next() && s.report.counts[file] == 0 {
		s.report.add(Problem{File: file, Message: "nothing but the separator in the file"})
	}
	if s.report.counts[file] > 0 || !s.readHeader() {
		return
	}
	v.sensors = slices.Grow(v.sensors, min(bytes.Count(text, []byte("\n")), maxSensors-len(v.sensors)))
	width := len(s.cells)
	for s.next() {
		switch {
		case !slices.ContainsFunc(s.cells, func(cell string) bool { return cell != "" }): // a sheet's empty last lines
		case len(s.cells) != width:
			s.problem(0, fmt.Sprintf("%d columns, the header has %d", len(s.cells), width), "quote cells that have a separator in them")
		case len(v.sensors) == maxSensors:
			s.problem(0, fmt.Sprintf("more than %d sensors", maxSensors), "divide the town between gateways")
			return
		default:
			s.readSensor()
		}
	}
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

func (s *sheet) readHeader() bool {
	s.header = map[string]int{}
	ok := true
	for i, cell := range s.cells {
		name := strings.ToLower(cell)
		if first, again := s.header[name]; again {
			s.problem(i, fmt.Sprintf("column %q stands here again", name), fmt.Sprintf("first as column %d", first+1))
			ok = false
		} else if !slices.Contains(columns, name) {
			s.problem(i, fmt.Sprintf("unknown column %q", cell), choices(name, columns))
		}
		s.header[name] = i
	}
	for _, name := range columns[:requiredColumns] {
		if _, found := s.header[name]; !found {
			s.problem(0, fmt.Sprintf("no column %q in the header", name), "the first line names the columns: "+strings.Join(columns, ", "))
			ok = false
		}
	}
	return ok
}

// cell returns the content of a column, "" where the sheet does not have it.
func (s *sheet) cell(name string) string {
	if i, ok := s.header[name]; ok {
		return s.cells[i]
	}
	return ""
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
