package config

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"belfry/decoders"
	"belfry/gateway/codechost"
)

const (
	codecDecoder = "codec"
	codecsFolder = "codecs" // in that of the models
)

// codecForm are the options of a model that is decoded by its maker's JavaScript.
type codecForm struct {
	File      string            `yaml:"file"`      // beside the model's own file, or in a folder below
	Variables map[string]string `yaml:"variables"` // input.variables
	Normalize bool              `yaml:"normalize"` // take the result of normalizeUplink

	hash string // of the codec, once it is loaded
}

// decoder loads the codec in a process of its own. nil with a mistake, which is reported.
func (c *codecForm) decoder(d *document, l *loader, root fs.FS) decoders.Decoder {
	mistake := func(key, message, hint string) decoders.Decoder {
		d.at(join(codecDecoder, key), message, hint)
		d.faulty["decoder"] = true // there is none
		return nil
	}
	switch {
	case c.File == "":
		return mistake("file", "missing", "the maker's JavaScript: codecs/product.js")
	case l.codec != "":
		c.File = l.codec
	case path.IsAbs(c.File) || !fs.ValidPath(path.Join(path.Dir(d.file), c.File)) || !strings.HasSuffix(c.File, ".js"):
		return mistake("file", c.File+" is not a .js file below the folder of the models", "codecs/product.js")
	}
	if l.env.Codecs == nil {
		return mistake("file", "codecs cannot be run here", "")
	}
	name := path.Join(path.Dir(d.file), c.File)
	if l.codec != "" {
		root, name = os.DirFS(filepath.Dir(l.codec)), filepath.Base(l.codec)
	}
	text, err := readLimited(root, name)
	if err != nil {
		return mistake("file", c.File+": "+reason(err), "")
	}
	loaded, err := l.env.Codecs.Load(c.File, string(text))
	if err != nil {
		return mistake("file", err.Error(), "")
	}
	c.hash = loaded.Hash
	decoder, err := loaded.Decoder(codechost.Options{Variables: c.Variables, Normalize: c.Normalize, Trial: l.trial})
	if err != nil {
		key := "file"
		if errors.Is(err, codechost.ErrNoNormalize) {
			key = "normalize"
		}
		return mistake(key, err.Error(), "")
	}
	return decoder
}
