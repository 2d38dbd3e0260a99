package main

import (
	"context"
	"flag"
	"testing"
)

var failuresCount = flag.Int("failures", 60, "how many failures the test tries")

func TestFailureOfAnyOperationLosesNothing(t *testing.T) {
	r, err := runFailures(context.Background(), built(t, nil), *failuresCount)
	if err != nil || r.faults() > 0 || r.cases != *failuresCount {
		t.Errorf("%v, error %v", &r, err)
	}
}
