package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"time"

	"belfry/buffer"
	"belfry/gateway"
)

// Client is a Buffer that a running gateway has open.
type Client struct {
	dir  string
	http *http.Client
}

var _ Buffer = (*Client)(nil)

// ErrNobody says that no gateway answers for a folder.
var ErrNobody = errors.New("no gateway answers")

// Dial returns a client of the gateway that runs on a folder, or ErrNobody. It must be closed.
func Dial(ctx context.Context, dir string) (*Client, error) {
	c := &Client{dir: dir}
	c.http = &http.Client{Transport: &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, dir) },
		DisableCompression: true, MaxIdleConns: 1,
	}}
	connection, err := dial(ctx, dir)
	switch {
	case err == nil:
		return c, connection.Close()
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTSOCK):
		return nil, fmt.Errorf("%s: %w", dir, ErrNobody)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s: %w (run this as the user that runs belfry, or as root)", dir, err)
	}
	return nil, err
}

func dial(ctx context.Context, dir string) (net.Conn, error) {
	path, release, err := address(dir)
	if err != nil {
		return nil, err
	}
	defer release()
	dialer := net.Dialer{Timeout: 5 * time.Second}
	return dialer.DialContext(ctx, "unix", path)
}

// Close closes the connection.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// Status implements Buffer.
func (c *Client) Status(ctx context.Context) (status Status, err error) {
	return status, c.ask(ctx, "status", struct{}{}, &status)
}

// Records implements Buffer.
func (c *Client) Records(ctx context.Context, query Query) (page Page, err error) {
	return page, c.ask(ctx, "records", query, &page)
}

// Verify implements Buffer.
func (c *Client) Verify(ctx context.Context) (v Verification, err error) {
	return v, c.ask(ctx, "verify", struct{}{}, &v)
}

// Drop implements Buffer.
func (c *Client) Drop(ctx context.Context, seqs []buffer.Seq) (dropped []buffer.Seq, err error) {
	return dropped, c.ask(ctx, "drop", selection{Seqs: seqs}, &dropped)
}

// Retry implements Buffer.
func (c *Client) Retry(ctx context.Context, seqs []buffer.Seq, tryOnly bool) (all []gateway.Retried, err error) {
	return all, c.ask(ctx, "retry", selection{Seqs: seqs, TryOnly: tryOnly}, &all)
}

func (c *Client) ask(ctx context.Context, what string, question, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://belfry"+version+what, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%s: the gateway ended the conversation: %w", c.dir, errors.Unwrap(err))
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return refusal(response, what)
	}
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
		return fmt.Errorf("%s: read the gateway's answer: %w", c.dir, err)
	}
	return nil
}

func refusal(response *http.Response, what string) error {
	var said problem
	text, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if json.Unmarshal(text, &said) == nil && said.Error != "" {
		return errors.New(said.Error)
	}
	return fmt.Errorf("the gateway that runs is of another version: it does not know %q (%s)", what, response.Status)
}
