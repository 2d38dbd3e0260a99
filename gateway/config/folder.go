package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"belfry/gateway/secret"
)

const secretsFolder = "secrets"

// isFolder says whether there is a folder to read, and reports it if not.
func (l *loader) isFolder() bool {
	info, err := os.Stat(l.dir)
	problem := Problem{File: l.dir}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		problem.Message, problem.Hint = "no such folder", "give the configuration folder with --config"
	case errors.Is(err, syscall.ENOTDIR), err == nil && !info.IsDir():
		problem.Message, problem.Hint = "is a file", "give the folder it is in"
	case err != nil:
		problem.Message = reason(err)
	default:
		return true
	}
	l.report.add(problem)
	return false
}

// path returns where a file is that belfry.yaml names, and notes that the folder it is in has a use.
func (l *loader) path(name string) string {
	top, _, _ := strings.Cut(filepath.ToSlash(filepath.Clean(name)), "/")
	l.used[top] = true
	return secret.Path(l.dir, name)
}

// checkNames reports what stands beside belfry.yaml under nearly the right name.
func (l *loader) checkNames() {
	entries, err := fs.ReadDir(l.folder, ".")
	if err != nil {
		l.report.add(Problem{File: l.dir, Message: reason(err), Tolerable: true})
	}
	folders := []string{sensorsFolder, modelsFolder, secretsFolder}
	for _, entry := range entries {
		name := entry.Name()
		if !entry.IsDir() || l.used[name] || slices.Contains(folders, name) {
			continue
		}
		if i := slices.IndexFunc(folders, func(known string) bool { return nearlySame(strings.ToLower(name), known) }); i >= 0 {
			l.unread(name, "folder", fmt.Sprintf("did you mean %q?", folders[i]), l.report)
		}
	}
}

// nearlySame says whether two names differ in one place by at most two letters. Unlike suggest it must not take one name of a
// folder for another: servers and scripts are none of ours.
func nearlySame(a, b string) bool {
	for a != "" && b != "" && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for a != "" && b != "" && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return max(len(a), len(b)) <= 2
}

// unread reports a file or folder that has no effect. The gateway can run without.
func (l *loader) unread(name, what, hint string, report *report) {
	report.add(Problem{File: name, Message: "this " + what + " would not be read", Hint: hint, Tolerable: true})
}

// list returns the paths of a folder's files that end in extension, and reports the others; none if there is no folder.
func (l *loader) list(root fs.FS, folder, extension string, report *report) []string {
	entries, err := fs.ReadDir(root, folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		report.add(Problem{File: folder, Message: reason(err)})
	}
	var names []string
	for _, entry := range entries {
		name, lower := path.Join(folder, entry.Name()), strings.ToLower(entry.Name())
		switch {
		case isLeftOver(lower), strings.TrimSuffix(lower, path.Ext(lower)) == "readme":
		case folder == modelsFolder && (entry.IsDir() && lower == codecsFolder || path.Ext(lower) == ".js"): // models name them
		case strings.HasSuffix(entry.Name(), extension):
			names = append(names, name)
		case strings.HasSuffix(lower, extension), extension == ".yaml" && strings.HasSuffix(lower, ".yml"):
			report.add(Problem{File: name, Message: "this file would not be read", Hint: "its name must end in " + extension})
		case entry.IsDir():
			l.unread(name, "folder", "put its files into "+folder+" itself", report)
		case extension == ".csv" && spreadsheets[path.Ext(lower)]:
			l.unread(name, "file", "save it as CSV, UTF-8", report)
		default:
			l.unread(name, "file", "its name must end in "+extension, report)
		}
	}
	return names
}

var spreadsheets = map[string]bool{".xlsx": true, ".xls": true, ".xlsm": true, ".ods": true}

// isLeftOver says whether a file is what editors and spreadsheets keep beside the one that they have open.
func isLeftOver(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "~$") || strings.HasSuffix(name, "~")
}
