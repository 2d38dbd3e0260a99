package strictjson

import (
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

type object struct {
	name   string
	number uint8
	inner  *object
	list   int
}

func (o *object) set(name string, value gjson.Result) (known Field, err error) {
	switch name {
	case "name":
		known, err = 1, Text(&o.name, value)
	case "number":
		known, err = 2, Integer(&o.number, value, 0, 255)
	case "inner":
		o.inner = &object{}
		known, err = 3, Each(value, o.inner.set)
	case "list":
		known, err = 4, List(value, func(gjson.Result) error { o.list++; return nil })
	}
	return known, err
}

func read(text string) (o object, err error) {
	if err := Check(text); err != nil {
		return o, err
	}
	err = Each(gjson.Parse(text), o.set)
	return o, err
}

func TestKnownMembersAreReadAndUnknownOnesLeftAlone(t *testing.T) {
	o, err := read(`{"other":{"name":7},"other":1,"name":"a","number":2.0,"inner":{"name":"b"},"list":[1,"x",{}]}`)
	if err != nil || o.name != "a" || o.number != 2 || o.inner.name != "b" || o.list != 3 {
		t.Errorf("got %+v, %v", o, err)
	}
	if o, err := read(`{"name":null,"number":null,"inner":null,"list":null}`); err != nil || o.name != "" || o.list != 0 {
		t.Errorf("null: got %+v, %v", o, err)
	}
}

func TestWhatIsNotAsKnownIsAnErrorThatNamesThePlace(t *testing.T) {
	for text, want := range map[string]string{
		`{"name":"a","name":"b"}`:   "name: stands twice",
		`{"name":7}`:                "name: want a text, not a number",
		`{"number":256}`:            "number: want an integer between 0 and 255",
		`{"number":1.5}`:            "number: want an integer between 0 and 255",
		`{"inner":{"number":"1"}}`:  "inner: number: want a number, not a text",
		`{"inner":[]}`:              "inner: want an object, not a list",
		`{"list":{}}`:               "list: want a list, not an object",
		`[]`:                        "want an object, not a list",
		`{"number":NaN}`:            "not JSON at offset",
		`{"name":"a"`:               "not JSON",
		strings.Repeat("[", 10_000): "nested deeper than",
		`{"name":"` + strings.Repeat(`\"[`, 50) + `}`: "not JSON",
	} {
		if _, err := read(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: got %v, want %q", text, err, want)
		}
	}
}
