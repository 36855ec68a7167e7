// `node --import tsx eventsource.mjs TREE serve|test PORT`: the suite's server, or its tests, on a port that we choose.
import {join} from 'node:path'
import {pathToFileURL} from 'node:url'

const [tree, what, port] = process.argv.slice(2)
const load = (name) => import(pathToFileURL(join(tree, 'test', name)).href)

if (what === 'serve') {
  const {getServer} = await load('server.ts')
  await getServer(Number(port))
} else {
  const {registerTests} = await load('tests.ts')
  const {createRunner} = await load('waffletest/runner.ts')
  const {nodeReporter} = await load('waffletest/reporters/nodeReporter.ts')
  const runner = registerTests({
    environment: 'node',
    runner: createRunner(nodeReporter),
    fetch: globalThis.fetch,
    port: Number(port),
  })
  process.exit((await runner.runTests()).failures)
}
