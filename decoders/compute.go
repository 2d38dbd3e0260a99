package decoders

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
)

// Compute is a field that is computed from others of the same sample.
type Compute struct {
	Name    string `yaml:"name"`
	Channel int    `yaml:"channel"`
	Unit    string `yaml:"unit"`  // of a number
	Value   string `yaml:"value"` // an expression over fields: "100 - distance / 20", "voltage_2 ?? 0", "level.raw"
}

const (
	maxComputes      = 64
	maxExpression    = 1000 // bytes
	maxExpressionAST = 100  // nodes
)

// computed is a rule that is ready to run.
type computed struct {
	Compute
	program  *vm.Program
	required []string // keys of the fields that must be there
}

// WithCompute returns a decoder that adds computed fields to every sample of another, in the order of the rules, so that a
// rule may use those before it. Its errors begin with the key of the rule that is wrong: "[0].value: ...".
func WithCompute(decoder Decoder, rules []Compute) (Decoder, error) {
	if len(rules) == 0 {
		return decoder, nil
	}
	if len(rules) > maxComputes {
		return nil, fmt.Errorf("[%d]: more than %d computed fields", maxComputes, maxComputes)
	}
	var mistakes []error
	programs, wanted, seen := make([]computed, len(rules)), map[string]bool{}, map[string]int{}
	for i, rule := range rules {
		if !isLayoutName(rule.Name) {
			mistakes = append(mistakes, fmt.Errorf("[%d].name: %q is not a name of a-z, 0-9 and _ that begins with a letter", i, rule.Name))
		} else if first, ok := seen[computeKey(rule.Name, rule.Channel)]; ok {
			mistakes = append(mistakes, fmt.Errorf("[%d].name: %q of this channel is already [%d]", i, rule.Name, first))
		} else {
			seen[computeKey(rule.Name, rule.Channel)] = i
		}
		if rule.Channel < 0 {
			mistakes = append(mistakes, fmt.Errorf("[%d].channel: %d is negative", i, rule.Channel))
		}
		var err error
		if programs[i], err = compileCompute(rule, wanted); err != nil {
			mistakes = append(mistakes, fmt.Errorf("[%d].value: %w", i, err))
		}
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	return func(uplink Uplink) (Output, error) {
		output, err := decoder(uplink)
		if err != nil {
			return output, err
		}
		var machine vm.VM
		for i := range output.Samples {
			output.compute(&machine, &output.Samples[i], programs, wanted)
		}
		return output, nil
	}, nil
}

// computeKey is how expressions call a field.
func computeKey(name string, channel int) string {
	if channel > 1 {
		return name + "_" + strconv.Itoa(channel)
	}
	return name
}

func (o *Output) compute(machine *vm.VM, sample *Sample, rules []computed, wanted map[string]bool) {
	known := make(map[string]any, len(wanted))
	for i := range sample.Fields {
		field := &sample.Fields[i]
		key := computeKey(field.Name, field.Channel)
		if _, twice := known[fieldMark+key]; wanted[key] && !twice && field.Value.Kind() != KindNone {
			known[fieldMark+key] = field.Value.plain()
		}
	}
	for i := range rules {
		rule := &rules[i]
		value, err := rule.run(machine, known)
		if err != nil {
			o.warnOnce(fmt.Sprintf("%s cannot be computed: %v", computeKey(rule.Name, rule.Channel), err))
		}
		if value.Kind() == KindNone {
			continue
		}
		field := Field{Name: rule.Name, Channel: rule.Channel, Value: value}
		if value.Kind() == KindNumber {
			field.Unit = rule.Unit
		}
		sample.put(field)
		known[fieldMark+computeKey(rule.Name, rule.Channel)] = value.plain()
	}
}

// warnOnce adds a warning that samples before may have given already.
func (o *Output) warnOnce(warning string) {
	for _, given := range o.Warnings {
		if given == warning {
			return
		}
	}
	o.Warnings = append(o.Warnings, warning)
}

// put adds a field, in the place of one of the same name and channel.
func (s *Sample) put(field Field) {
	for i := range s.Fields {
		if s.Fields[i].Name == field.Name && max(s.Fields[i].Channel, 1) == max(field.Channel, 1) {
			s.Fields[i] = field
			return
		}
	}
	s.Fields = append(s.Fields, field)
}

// plain returns the value as expressions take it: numbers are float64, so that nothing overflows unseen.
func (v Value) plain() any {
	switch v.kind {
	case KindNumber:
		return v.number
	case KindBool:
		return v.Bool()
	case KindText:
		return v.text
	}
	return nil
}

var (
	errNotFinite = errors.New("not a finite number")
	errNoValue   = errors.New("neither a number, a boolean nor a text")
	errLongText  = fmt.Errorf("a text of more than %d bytes", maxTextBytes)
)

// run returns the zero Value when there is none; an error only when what it needs is there.
func (c *computed) run(machine *vm.VM, known map[string]any) (Value, error) {
	for _, key := range c.required {
		if _, ok := known[fieldMark+key]; !ok {
			return Value{}, nil
		}
	}
	result, err := machine.Run(c.program, known)
	if err != nil {
		return Value{}, errors.New(computeMessage(err))
	}
	switch result := result.(type) {
	case nil:
		return Value{}, nil
	case bool:
		return Bool(result), nil
	case int:
		return Number(result), nil
	case float64:
		value := Number(roundComputed(result))
		if value.Kind() == KindNone {
			return Value{}, errNotFinite
		}
		return value, nil
	case string:
		if len(result) > maxTextBytes {
			return Value{}, errLongText
		}
		if result == "" {
			return Value{}, nil
		}
		return Text(strings.Clone(result)), nil
	}
	return Value{}, errNoValue
}

// roundComputed takes away what binary arithmetic added: 0.1 + 0.2 is 0.3. Whole numbers stay as they are.
func roundComputed(number float64) float64 {
	if number == math.Trunc(number) {
		return number + 0 // not -0
	}
	var buffer [32]byte
	rounded, err := strconv.ParseFloat(string(strconv.AppendFloat(buffer[:0], number, 'g', 12, 64)), 64)
	if err != nil {
		return number
	}
	return rounded
}

// computeMessage leaves out the excerpt that the library draws.
func computeMessage(err error) string {
	if located, ok := errors.AsType[*file.Error](err); ok {
		return located.Message
	}
	message, _, _ := strings.Cut(err.Error(), "\n")
	return message
}

// fieldMark stands before the names of fields in compiled expressions, so that none is taken for a function.
const fieldMark = "."

// computeBuiltins take time and memory in proportion to what they are given; none loops over what it makes itself.
var computeBuiltins = []string{"abs", "ceil", "floor", "round", "min", "max", "float", "string", "len", "lower", "upper", "trim"}

const modFunction = "mod"

// computeFunctions are those for the bits of a number, which is a float64 here, and the remainder.
var computeFunctions = map[string]struct {
	arguments int
	call      func(numbers []float64) (any, error)
}{
	modFunction: {2, func(n []float64) (any, error) { return math.Mod(n[0], n[1]), nil }},
	"bit": {2, func(n []float64) (any, error) {
		bits, err := bitsOf(n[0], n[1], 1)
		return bits == 1, err
	}},
	"bits": {3, func(n []float64) (any, error) { return bitsOf(n[0], n[1], n[2]) }},
}

var errNoBits = errors.New("bits are those of a whole number from 0 to 2^53")

// bitsOf returns width bits of a number, from the bit first, 0 being the lowest.
func bitsOf(number, first, width float64) (float64, error) {
	const limit = 1 << 53
	if !(number >= 0 && number <= limit && number == math.Trunc(number) && first >= 0 && first < 64 && width >= 1 && width < 64) {
		return 0, errNoBits
	}
	return float64(uint64(number) >> uint(first) & (1<<uint(width) - 1)), nil
}

func computeOptions(names *computeNames) []expr.Option {
	options := []expr.Option{
		expr.Env(map[string]any{}), expr.AllowUndefinedVariables(), expr.MaxNodes(maxExpressionAST),
		expr.DisableAllBuiltins(), expr.Patch(names),
	}
	for _, name := range computeBuiltins {
		options = append(options, expr.EnableBuiltin(name))
	}
	for name, function := range computeFunctions {
		options = append(options, expr.Function(name, func(arguments ...any) (any, error) {
			if len(arguments) != function.arguments {
				return nil, fmt.Errorf("%s has %d arguments", name, function.arguments)
			}
			numbers := make([]float64, len(arguments))
			for i, argument := range arguments {
				switch number := argument.(type) {
				case float64:
					numbers[i] = number
				case int:
					numbers[i] = float64(number)
				default:
					return nil, fmt.Errorf("%s is for numbers", name)
				}
			}
			return function.call(numbers)
		}))
	}
	return options
}

// compileCompute adds the keys of the fields that the rule looks at to wanted.
func compileCompute(rule Compute, wanted map[string]bool) (computed, error) {
	switch {
	case strings.TrimSpace(rule.Value) == "":
		return computed{}, errors.New(`missing: an expression such as "100 - distance / 20"`)
	case len(rule.Value) > maxExpression:
		return computed{}, fmt.Errorf("longer than %d bytes", maxExpression)
	}
	names := &computeNames{fields: map[*ast.IdentifierNode]bool{}}
	program, err := expr.Compile(rule.Value, computeOptions(names)...)
	if names.err != nil { // the compiler's own may come of it
		return computed{}, names.err
	}
	if err != nil {
		if located, ok := errors.AsType[*file.Error](err); ok {
			return computed{}, atCharacter(located.Message, located.From)
		}
		return computed{}, errors.New(computeMessage(err))
	}
	rules := computed{Compute: rule, program: program}
	for node, required := range names.fields {
		key := strings.TrimPrefix(node.Value, fieldMark)
		wanted[key] = true
		if required {
			rules.required = append(rules.required, key)
		}
	}
	return rules, nil
}

func atCharacter(message string, from int) error {
	return fmt.Errorf("%s (character %d)", message, from+1)
}

// computeNames makes a name of its own of every field that an expression names (a.b too), makes all numbers float64, and
// refuses what could loop or grow. Nodes come to it from the leaves to the root.
type computeNames struct {
	fields map[*ast.IdentifierNode]bool // false when it may be missing: left of ??
	err    error
}

// Visit implements ast.Visitor.
func (c *computeNames) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.NilNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode, *ast.ConstantNode, *ast.UnaryNode, *ast.ConditionalNode,
		*ast.BuiltinNode, *ast.ArrayNode:
	case *ast.IntegerNode:
		ast.Patch(node, &ast.FloatNode{Value: float64(n.Value)})
	case *ast.IdentifierNode:
		c.rename(node, n.Value)
	case *ast.MemberNode:
		c.member(node, n)
	case *ast.CallNode:
		c.callee(n)
	case *ast.BinaryNode:
		c.binary(node, n)
	default:
		c.refuse(n, "this is not possible in a computed value")
	}
}

func (c *computeNames) refuse(node ast.Node, message string) {
	if c.err == nil {
		c.err = atCharacter(message, node.Location().From)
	}
}

func (c *computeNames) rename(node *ast.Node, key string) {
	field := &ast.IdentifierNode{Value: fieldMark + key}
	ast.Patch(node, field)
	c.fields[field] = true
}

func (c *computeNames) member(node *ast.Node, n *ast.MemberNode) {
	object, isField := n.Node.(*ast.IdentifierNode)
	property, isName := n.Property.(*ast.StringNode)
	if !isField || !isName {
		c.refuse(n, "only names of fields have members")
		return
	}
	delete(c.fields, object)
	key := property.Value
	if object.Value != fieldMark+"$env" {
		key = strings.TrimPrefix(object.Value, fieldMark) + "." + key
	}
	c.rename(node, key)
}

func (c *computeNames) callee(n *ast.CallNode) {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		c.refuse(n, "this is no function")
		return
	}
	delete(c.fields, callee)
	callee.Value = strings.TrimPrefix(callee.Value, fieldMark)
	if function, ok := computeFunctions[callee.Value]; !ok {
		c.refuse(n, "no function "+callee.Value)
	} else if len(n.Arguments) != function.arguments {
		c.refuse(n, fmt.Sprintf("%s has %d arguments", callee.Value, function.arguments))
	}
}

func (c *computeNames) binary(node *ast.Node, n *ast.BinaryNode) {
	switch n.Operator {
	case "..", "matches":
		c.refuse(n, n.Operator+" is not possible in a computed value")
	case "%":
		ast.Patch(node, &ast.CallNode{Callee: &ast.IdentifierNode{Value: modFunction}, Arguments: []ast.Node{n.Left, n.Right}})
	case "??":
		ast.Walk(&n.Left, optionalNames(c.fields))
	}
}

// optionalNames marks the fields in a part of an expression as not required.
type optionalNames map[*ast.IdentifierNode]bool

// Visit implements ast.Visitor.
func (o optionalNames) Visit(node *ast.Node) {
	if field, ok := (*node).(*ast.IdentifierNode); ok && o[field] {
		o[field] = false
	}
}
