// `node client.mjs http|fetch|undici [UNDICI]`: a question per line of input, an answer per line of output, until the
// input ends. The parts of a line stand between tabs, in Base64.
import http from 'node:http'
import {createInterface} from 'node:readline'
import {Readable} from 'node:stream'
import {gunzipSync} from 'node:zlib'

const LIMIT = 10_000
const [which, undiciPath] = process.argv.slice(2)
const text = (part) => Buffer.from(part, 'base64').toString()
const base64 = (value) => Buffer.from(value).toString('base64')

function parsed(line) {
  const [method, url, fields, form, content, follow] = line.split('\t')
  const headers = text(fields)
    .split('\n')
    .filter(Boolean)
    .map((field) => [field.slice(0, field.indexOf(': ')), field.slice(field.indexOf(': ') + 2)])
  const body = Buffer.from(content, 'base64')
  return {method: text(method), url: text(url), headers, form: text(form), body, follow: text(follow) !== ''}
}

function* pieces(body) {
  const middle = Math.ceil(body.length / 2)
  yield body.subarray(0, middle)
  yield body.subarray(middle)
}

function undone(headers, body) {
  const coded = headers.some(([name, value]) => name.toLowerCase() === 'content-encoding' && value === 'gzip')
  return coded ? gunzipSync(body) : body
}

const agent = new http.Agent({keepAlive: true})

function askHttp({method, url, headers, form, body}) {
  return new Promise((resolve, reject) => {
    const length = form === 'body' ? {'Content-Length': body.length} : {}
    const fields = {...Object.fromEntries(headers), ...length}
    const request = http.request(url, {method, agent, timeout: LIMIT, headers: fields})
    request.on('error', reject)
    request.on('timeout', () => request.destroy(new Error('timed out')))
    request.on('response', async (response) => {
      const read = []
      try {
        for await (const chunk of response) read.push(chunk)
      } catch (error) {
        return reject(error)
      }
      const raw = response.rawHeaders
      const fields = raw.flatMap((name, at) => (at % 2 ? [] : [[name, raw[at + 1]]]))
      resolve([response.statusCode, fields, undone(fields, Buffer.concat(read))])
    })
    const send = () => {
      if (form === 'pieces') for (const piece of pieces(body)) request.write(piece)
      request.end(form === 'body' ? body : undefined)
    }
    if (headers.some(([name]) => name === 'Expect')) {
      request.on('continue', send)
      request.flushHeaders()
    } else {
      send()
    }
  })
}

function sent(form, body, whole) {
  if (form === 'none') return undefined
  return form === 'body' ? whole(body) : Readable.from(pieces(body))
}

async function askFetch({method, url, headers, form, body, follow}) {
  const response = await fetch(url, {
    method,
    headers,
    body: sent(form, body, (bytes) => new Blob([bytes])), // bytes alone Node 20 cannot send a second time
    duplex: 'half',
    redirect: follow ? 'follow' : 'manual',
    signal: AbortSignal.timeout(LIMIT),
  })
  return [response.status, [...response.headers], Buffer.from(await response.arrayBuffer())]
}

const undici = which === 'undici' ? (await import(undiciPath)).default : undefined
const plain = undici && new undici.Agent()
const following = undici && plain.compose(undici.interceptors.redirect({maxRedirections: 5}))

async function askUndici({method, url, headers, form, body, follow}) {
  const {statusCode, headers: got, body: stream} = await undici.request(url, {
    method,
    headers: Object.fromEntries(headers),
    body: sent(form, body, (bytes) => bytes),
    dispatcher: follow ? following : plain,
    signal: AbortSignal.timeout(LIMIT),
  })
  const fields = Object.entries(got).flatMap(([name, value]) => [value].flat().map((one) => [name, one]))
  return [statusCode, fields, undone(fields, Buffer.from(await stream.arrayBuffer()))]
}

const ask = {http: askHttp, fetch: askFetch, undici: askUndici}[which]

for await (const line of createInterface({input: process.stdin, crlfDelay: Infinity})) {
  try {
    const [status, headers, body] = await ask(parsed(line))
    const fields = headers.map(([name, value]) => `${name}: ${value}`).join('\n')
    console.log(['answer', base64(String(status)), base64(fields), base64(body)].join('\t'))
  } catch (error) {
    console.log(['error', base64(`${error.message}${error.cause ? `: ${error.cause.message}` : ''}`)].join('\t'))
  }
}
process.exit(0)
