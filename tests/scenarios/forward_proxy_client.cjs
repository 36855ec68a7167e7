// node forward_proxy_client.cjs (http|env|undici) METHOD URL: one call through the proxy that HTTP_PROXY names, as an
// application makes it. The body is read from standard input; the status and the answer's body are printed as JSON.
const fs = require('node:fs')
const http = require('node:http')

function tell(status, body) {
  process.stdout.write(JSON.stringify({status, body}))
}

function read(response) {
  let text = ''
  response.setEncoding('utf8')
  response.on('data', (piece) => { text += piece })
  response.on('end', () => tell(response.statusCode, text))
}

// Any Node: the proxy is where one connects to, and the whole URL is the path.
function plain(method, url, body) {
  const {hostname, port} = new URL(process.env.HTTP_PROXY)
  const headers = {Host: new URL(url).host, 'Content-Length': body.length}
  http.request({hostname, port, method, path: url, headers}, read).end(body)
}

// Node 24 with NODE_USE_ENV_PROXY=1 does the same by itself.
function env(method, url, body) {
  http.request(url, {method, headers: {'Content-Length': body.length}}, read).end(body)
}

// fetch tunnels everything unless it is told that http:// needs no tunnel.
async function undici(method, url, body) {
  const {EnvHttpProxyAgent, fetch} = require(process.env.UNDICI)
  const dispatcher = new EnvHttpProxyAgent({proxyTunnel: false})
  const response = await fetch(url, {method, dispatcher, body: body.length ? body : undefined})
  tell(response.status, await response.text())
}

const [kind, method, url] = process.argv.slice(2)
const calls = {http: plain, env, undici}
Promise.resolve(calls[kind](method, url, fs.readFileSync(0))).catch((error) => {
  while (error.cause) error = error.cause
  process.stderr.write(String(error))
  process.exitCode = 1
})
