package main

import (
	"fmt"

	"belfry/gateway/control"
)

type bufferVerifyCommand struct {
	bufferFolder
	JSON bool `help:"Print it as JSON."`
}

// Run prints what is damaged.
func (c bufferVerifyCommand) Run(p program) error {
	return c.use(p, false, func(b control.Buffer) error {
		v, err := b.Verify(p.ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			err = printJSON(p.stdout, v)
		} else {
			err = printVerification(p, &v)
		}
		if err == nil && len(v.Damages) > 0 {
			return errReported
		}
		return err
	})
}

func printVerification(p program, v *control.Verification) error {
	for _, file := range v.SetAside {
		fmt.Fprintf(p.stdout, "set aside before: %s, %s\n", printable(file.Name), sized(file.Bytes))
	}
	for _, d := range v.Damages {
		fmt.Fprintln(p.stdout, damageText(d))
	}
	verdict := "all as they were written"
	if len(v.Damages) > 0 {
		verdict = fmt.Sprintf("and %s", counted(len(v.Damages), "damage"))
	}
	_, err := fmt.Fprintf(p.stdout, "%s records (%s) in %s: %s\n", grouped(v.Records), sized(int64(v.Bytes)), counted(v.Segments, "file"), verdict)
	return err
}

func damageText(d control.Damage) string {
	text := "damaged:"
	if d.File != "" {
		text += " " + printable(d.File)
	}
	if d.Lane != "" {
		text += " lane " + d.Lane
	}
	switch {
	case d.First == d.Last && d.First > 0:
		text += fmt.Sprintf(" record %d", d.First)
	case d.Last > 0:
		text += fmt.Sprintf(" records %d to %d", d.First, d.Last)
	}
	if d.Records > 1 {
		text += fmt.Sprintf(" (%s of this lane)", grouped(d.Records))
	}
	return text + ": " + printable(d.Reason)
}
