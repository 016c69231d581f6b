// The SDK centrifuge-go: takes a command from each line of standard input, and prints events and results as lines of
// JSON. See tests/clients/sdk.py.
//
//	client json|protobuf
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/centrifugal/centrifuge-go"
)

const (
	minDelay = 20 * time.Millisecond
	maxDelay = 250 * time.Millisecond
	deadline = 20 * time.Second
)

type command struct {
	Call        int              `json:"call"`
	Do          string           `json:"do"`
	Name        string           `json:"name"`
	URL         string           `json:"url"`
	Channel     string           `json:"channel"`
	Token       string           `json:"token"`
	Tokens      []string         `json:"tokens"`
	State       []streamPosition `json:"state"`
	Recoverable bool             `json:"recoverable"`
	Positioned  bool             `json:"positioned"`
	JoinLeave   bool             `json:"join_leave"`
	Data        json.RawMessage  `json:"data"`
	Method      string           `json:"method"`
	Limit       int32            `json:"limit"`
	Since       *streamPosition  `json:"since"`
	Reverse     bool             `json:"reverse"`
}

type streamPosition struct {
	Offset uint64 `json:"offset"`
	Epoch  string `json:"epoch"`
}

type fields map[string]any

// driver carries out commands; each of them runs in a goroutine of its own, so that one may wait.
type driver struct {
	protobuf bool
	mutex    sync.Mutex
	clients  map[string]*centrifuge.Client
	output   sync.Mutex
}

func (d *driver) report(line fields) {
	text, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	d.output.Lock()
	defer d.output.Unlock()
	os.Stdout.Write(append(text, '\n'))
}

func (d *driver) client(name string) *centrifuge.Client {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	return d.clients[name]
}

// raw is bytes that the SDK gives, as a part of what is reported.
func raw(data []byte) any {
	if len(data) == 0 {
		return nil
	}
	return json.RawMessage(data)
}

func info(found centrifuge.ClientInfo) fields {
	return fields{
		"client": found.Client, "user": found.User, "conn_info": raw(found.ConnInfo), "chan_info": raw(found.ChanInfo),
	}
}

func publication(found centrifuge.Publication) fields {
	made := fields{"data": raw(found.Data), "offset": nil, "info": nil, "tags": nil}
	if found.Offset > 0 {
		made["offset"] = found.Offset
	}
	if found.Info != nil {
		made["info"] = info(*found.Info)
	}
	if len(found.Tags) > 0 {
		made["tags"] = found.Tags
	}
	return made
}

func subscribed(recoverable, positioned, wasRecovering, recovered bool, position *centrifuge.StreamPosition) fields {
	made := fields{
		"recoverable": recoverable, "positioned": positioned, "was_recovering": wasRecovering, "recovered": recovered,
	}
	if position != nil {
		made["offset"], made["epoch"] = position.Offset, position.Epoch
	}
	return made
}

// getter returns a function that gives the SDK one token after the other, and reports that it was asked.
func (d *driver) getter(tokens []string, of fields) func() (string, error) {
	var mutex sync.Mutex
	return func() (string, error) {
		mutex.Lock()
		defer mutex.Unlock()
		d.report(of)
		if len(tokens) == 0 {
			return "", errors.New("there is no token left")
		}
		token := tokens[0]
		tokens = tokens[1:]
		return token, nil
	}
}

func (d *driver) connect(c command) error {
	report := func(event string, more fields) {
		line := fields{"event": event, "name": c.Name}
		for key, value := range more {
			line[key] = value
		}
		d.report(line)
	}
	config := centrifuge.Config{Token: c.Token, MinReconnectDelay: minDelay, MaxReconnectDelay: maxDelay}
	// A crowd of clients on a busy machine needs more than the second of the default.
	config.HandshakeTimeout = 5 * time.Second
	if c.Tokens != nil {
		next := d.getter(c.Tokens, fields{"event": "token wanted", "name": c.Name})
		config.GetToken = func(centrifuge.ConnectionTokenEvent) (string, error) { return next() }
	}
	newClient := centrifuge.NewJsonClient
	if d.protobuf {
		newClient = centrifuge.NewProtobufClient
	}
	client := newClient(c.URL, config)
	client.OnConnecting(func(e centrifuge.ConnectingEvent) {
		report("connecting", fields{"code": e.Code, "reason": e.Reason})
	})
	client.OnConnected(func(e centrifuge.ConnectedEvent) { report("connected", fields{"client": e.ClientID}) })
	client.OnDisconnected(func(e centrifuge.DisconnectedEvent) {
		report("disconnected", fields{"code": e.Code, "reason": e.Reason})
	})
	client.OnError(func(e centrifuge.ErrorEvent) { report("error", fields{"message": e.Error.Error()}) })
	client.OnMessage(func(e centrifuge.MessageEvent) { report("message", fields{"data": raw(e.Data)}) })
	server := func(event, channel string, more fields) {
		more["channel"] = channel
		report("server "+event, more)
	}
	client.OnSubscribing(func(e centrifuge.ServerSubscribingEvent) { server("subscribing", e.Channel, fields{}) })
	client.OnSubscribed(func(e centrifuge.ServerSubscribedEvent) {
		of := subscribed(e.Recoverable, e.Positioned, e.WasRecovering, e.Recovered, e.StreamPosition)
		server("subscribed", e.Channel, of)
	})
	client.OnUnsubscribed(func(e centrifuge.ServerUnsubscribedEvent) { server("unsubscribed", e.Channel, fields{}) })
	client.OnPublication(func(e centrifuge.ServerPublicationEvent) {
		server("publication", e.Channel, publication(e.Publication))
	})
	client.OnJoin(func(e centrifuge.ServerJoinEvent) { server("join", e.Channel, info(e.ClientInfo)) })
	client.OnLeave(func(e centrifuge.ServerLeaveEvent) { server("leave", e.Channel, info(e.ClientInfo)) })
	d.mutex.Lock()
	d.clients[c.Name] = client
	d.mutex.Unlock()
	return client.Connect()
}

func (d *driver) subscribe(c command) error {
	client := d.client(c.Name)
	if known, ok := client.GetSubscription(c.Channel); ok {
		return known.Subscribe()
	}
	report := func(event string, more fields) {
		more["event"], more["name"], more["channel"] = event, c.Name, c.Channel
		d.report(more)
	}
	config := centrifuge.SubscriptionConfig{
		Token: c.Token, Recoverable: c.Recoverable, Positioned: c.Positioned, JoinLeave: c.JoinLeave,
		MinResubscribeDelay: minDelay, MaxResubscribeDelay: maxDelay,
	}
	if c.Tokens != nil {
		of := fields{"event": "subscription token wanted", "name": c.Name, "channel": c.Channel}
		next := d.getter(c.Tokens, of)
		config.GetToken = func(centrifuge.SubscriptionTokenEvent) (string, error) { return next() }
	}
	if c.State != nil {
		states := c.State
		config.GetState = func(centrifuge.SubscriptionGetStateEvent) (centrifuge.StreamPosition, error) {
			report("state wanted", fields{})
			state := states[0]
			states = states[1:]
			return centrifuge.StreamPosition{Offset: state.Offset, Epoch: state.Epoch}, nil
		}
	}
	subscription, err := client.NewSubscription(c.Channel, config)
	if err != nil {
		return err
	}
	subscription.OnSubscribing(func(e centrifuge.SubscribingEvent) { report("subscribing", fields{"code": e.Code}) })
	subscription.OnSubscribed(func(e centrifuge.SubscribedEvent) {
		report("subscribed", subscribed(e.Recoverable, e.Positioned, e.WasRecovering, e.Recovered, e.StreamPosition))
	})
	subscription.OnUnsubscribed(func(e centrifuge.UnsubscribedEvent) {
		report("unsubscribed", fields{"code": e.Code, "reason": e.Reason})
	})
	subscription.OnPublication(func(e centrifuge.PublicationEvent) { report("publication", publication(e.Publication)) })
	subscription.OnJoin(func(e centrifuge.JoinEvent) { report("join", info(e.ClientInfo)) })
	subscription.OnLeave(func(e centrifuge.LeaveEvent) { report("leave", info(e.ClientInfo)) })
	subscription.OnError(func(e centrifuge.SubscriptionErrorEvent) {
		report("subscription error", fields{"message": e.Error.Error()})
	})
	return subscription.Subscribe()
}

func (d *driver) history(ctx context.Context, c command) (any, error) {
	options := []centrifuge.HistoryOption{centrifuge.WithHistoryLimit(c.Limit), centrifuge.WithHistoryReverse(c.Reverse)}
	if c.Since != nil {
		since := centrifuge.StreamPosition{Offset: c.Since.Offset, Epoch: c.Since.Epoch}
		options = append(options, centrifuge.WithHistorySince(&since))
	}
	found, err := d.client(c.Name).History(ctx, c.Channel, options...)
	publications := []fields{}
	for _, each := range found.Publications {
		publications = append(publications, publication(each))
	}
	return fields{"offset": found.Offset, "epoch": found.Epoch, "publications": publications}, err
}

func (d *driver) perform(c command) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	switch c.Do {
	case "connect":
		return nil, d.connect(c)
	case "reconnect":
		return nil, d.client(c.Name).Connect()
	case "disconnect":
		return nil, d.client(c.Name).Disconnect()
	case "subscribe":
		return nil, d.subscribe(c)
	case "unsubscribe":
		subscription, _ := d.client(c.Name).GetSubscription(c.Channel)
		return nil, subscription.Unsubscribe()
	case "publish":
		_, err := d.client(c.Name).Publish(ctx, c.Channel, c.Data)
		return nil, err
	case "history":
		return d.history(ctx, c)
	case "presence":
		found, err := d.client(c.Name).Presence(ctx, c.Channel)
		clients := []fields{}
		for _, each := range found.Clients {
			clients = append(clients, info(each))
		}
		return clients, err
	case "presence_stats":
		found, err := d.client(c.Name).PresenceStats(ctx, c.Channel)
		return fields{"num_clients": found.NumClients, "num_users": found.NumUsers}, err
	case "rpc":
		found, err := d.client(c.Name).RPC(ctx, c.Method, c.Data)
		return raw(found.Data), err
	case "send":
		return nil, d.client(c.Name).Send(ctx, c.Data)
	}
	return nil, errors.New("no such command: " + c.Do)
}

func (d *driver) run(c command) {
	result, err := d.perform(c)
	if err == nil {
		d.report(fields{"call": c.Call, "result": result})
		return
	}
	code := uint32(0)
	var reply *centrifuge.Error
	if errors.As(err, &reply) {
		code = reply.Code
	}
	d.report(fields{"call": c.Call, "error": fields{"code": code, "message": err.Error()}})
}

func main() {
	d := &driver{protobuf: os.Args[1] == "protobuf", clients: map[string]*centrifuge.Client{}}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			panic(err)
		}
		// Connecting and subscribing do not wait, and keep their order.
		if c.Do == "connect" || c.Do == "subscribe" {
			d.run(c)
		} else {
			go d.run(c)
		}
	}
}
