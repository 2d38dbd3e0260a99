package main

import "context"

func tryMutants(context.Context, *campaign, string, *report) (bool, error) { return true, nil }
