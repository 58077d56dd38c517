// Idle clients of Node: node.js agent|own|fetch N URL. Each sends one request,
// reads the answer, and leaves the connection to Node: to an agent with a timeout
// of its own, to one without, or to fetch(). Runs until its standard input ends.
'use strict';
const http = require('http');
const [kind, n, url] = process.argv.slice(2);
const kept = new http.Agent({ keepAlive: true, timeout: 60000 });
const own = new http.Agent({ keepAlive: true });

const get = (agent) => () => new Promise((done, fail) => {
  http.get(url, { agent }, (answer) => {
    answer.resume();
    answer.on('end', done);
  }).on('error', fail);
});
const ask = {
  agent: get(kept),
  own: get(own),
  fetch: () => fetch(url).then((answer) => answer.text()),
};

Promise.all(Array.from({ length: Number(n) }, ask[kind]))
  .then(() => console.log('answered'),
        (why) => { console.error(why); process.exit(1); });
// A reader of standard input keeps Node alive while all connections are idle.
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
