// Engine renders Go templates as Ollama does, to hold our own interpreter against the real thing.
//
// It reads one JSON request after another from standard input and answers each with a line of JSON.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/template"
	"time"
)

// The names of fields are what templates say; the tags are what they print as JSON.

type callFunction struct {
	Index     int
	Name      string
	Arguments arguments
}

type call struct {
	ID       string
	Function callFunction
}

type message struct {
	Role       string
	Content    string
	Thinking   string
	Images     [][]byte
	ToolCalls  []call
	ToolName   string
	ToolCallID string
}

type property struct {
	AnyOf       []property `json:"anyOf,omitempty"`
	Type        any        `json:"type,omitempty"`
	Items       any        `json:"items,omitempty"`
	Description string     `json:"description"`
	Enum        []any      `json:"enum,omitempty"`
	Properties  properties `json:"properties,omitempty"`
	Required    []string   `json:"required,omitempty"`
}

type parameters struct {
	Type       string     `json:"type"`
	Defs       any        `json:"$defs,omitempty"`
	Items      any        `json:"items,omitempty"`
	Required   []string   `json:"required,omitempty"`
	Properties properties `json:"properties"`
}

type function struct {
	Name        string     `json:"name"`
	Description string     `json:"description"`
	Parameters  parameters `json:"parameters"`
}

type tool struct {
	Type     string   `json:"type"`
	Items    any      `json:"items,omitempty"`
	Function function `json:"function"`
}

type arguments map[string]any
type properties map[string]property
type tools []tool

func (v arguments) String() string  { return asJSON(v) }
func (v properties) String() string { return asJSON(v) }
func (v tools) String() string      { return asJSON(v) }
func (v tool) String() string       { return asJSON(v) }

func asJSON(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

// A request renders one template for several conversations; Today is YYYY-MM-DD.
type request struct {
	Template      string
	Conversations []struct {
		Messages []message
		Tools    tools
		Think    *bool
		Today    string
	}
}

type answer struct {
	Prompt string `json:"prompt"`
	Error  string `json:"error"`
}

// collate joins all system texts, and neighbours of one role other than tool.
func collate(messages []message) (string, []message) {
	var system []string
	var joined []message
	for _, m := range messages {
		if m.Role == "system" {
			system = append(system, m.Content)
		}
		if n := len(joined); n > 0 && m.Role != "tool" && joined[n-1].Role == m.Role {
			joined[n-1].Content += "\n\n" + m.Content
			continue
		}
		joined = append(joined, m)
	}
	return strings.Join(system, "\n\n"), joined
}

func render(source string, today time.Time, data map[string]any) (string, error) {
	functions := template.FuncMap{
		"json":          asJSON,
		"currentDate":   func(...string) string { return today.Format(time.DateOnly) },
		"yesterdayDate": func(...string) string { return today.AddDate(0, 0, -1).Format(time.DateOnly) },
	}
	parsed, err := template.New("").Option("missingkey=zero").Funcs(functions).Parse(source)
	if err != nil {
		return "", err
	}
	var prompt strings.Builder
	err = parsed.Execute(&prompt, data)
	return prompt.String(), err
}

func answers(r request) ([]answer, error) {
	var all []answer
	for _, c := range r.Conversations {
		today, err := time.Parse(time.DateOnly, c.Today)
		if err != nil {
			return nil, err
		}
		system, messages := collate(c.Messages)
		prompt, err := render(r.Template, today, map[string]any{
			"System":     system,
			"Messages":   messages,
			"Tools":      c.Tools,
			"Response":   "",
			"Think":      c.Think != nil && *c.Think,
			"ThinkLevel": "",
			"IsThinkSet": c.Think != nil,
		})
		one := answer{Prompt: prompt}
		if err != nil {
			one.Error = err.Error()
		}
		all = append(all, one)
	}
	return all, nil
}

func main() {
	requests, responses := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var r request
		err := requests.Decode(&r)
		if err == io.EOF {
			return
		}
		if err == nil {
			var all []answer
			if all, err = answers(r); err == nil {
				err = responses.Encode(all)
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
