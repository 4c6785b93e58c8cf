// Commands of Nextflow in this process, one after the other as they come on standard input, see several.py: each its
// words, its folder, its environment, and where to write what it says. Its exit code goes to a file beside that.

def field(String type, String name) {
    def found = Class.forName(type).getDeclaredField(name)
    found.accessible = true
    return found
}

// What Java keeps of its folder and its environment, and Nextflow of the folder, for as long as a process lasts
def move(String folder, Map env) {
    System.setProperty('user.dir', folder)
    field('java.io.UnixFileSystem', 'userDir').set(field('java.io.File', 'fs').get(null), folder)
    def files = java.nio.file.FileSystems.default
    field('sun.nio.fs.UnixFileSystem', 'defaultDirectory').set(files, folder.bytes)
    field('sun.nio.fs.UnixFileSystem', 'needToResolveAgainstDefaultDirectory').set(files, true)
    new File("${folder}/.nextflow").mkdirs()
    def history = Class.forName('nextflow.util.HistoryFile').DEFAULT
    field('java.io.File', 'path').set(history, "${folder}/.nextflow/history".toString())
    def variables = field('java.util.Collections$UnmodifiableMap', 'm').get(System.getenv())
    variables.clear()
    variables.putAll(env)
}

// What Nextflow keeps, of this script or of the command before
def forget() {
    Class.forName('nextflow.plugin.Plugins').stop()
    ['Global', 'script.ScriptMeta', 'script.ExecutionStack', 'processor.TaskProcessor', 'container.inspect.ContainerInspectMode'].each { type ->
        Class.forName("nextflow.${type}").reset()
    }
    ['nextflow.extension.CH': 'allTopics', 'nextflow.extension.Bolts': 'LOGGER_CACHE'].each { type, cache ->
        field(type, cache).get(null).clear()
    }
    field('nextflow.util.LoggerHelper', 'aborted').set(null, false)
    field('nextflow.util.LoggerHelper', 'errCount').get(null).set(0)
    field('nextflow.processor.TaskId', 'allCount').get(null).set(0)
    field('nextflow.script.params.CmdEvalParam', 'counter').get(null).set(0)
}

workflow {
    move(new File('').absolutePath, [:] + System.getenv())
    forget()
    println('ready')
    new InputStreamReader(new FileInputStream('/dev/stdin')).eachLine { line ->
        def asked = new groovy.json.JsonSlurper().parseText(line)
        def said = new PrintStream(asked.said, 'UTF-8')
        System.setOut(said)
        System.setErr(said)
        move(asked.folder, asked.env)
        forget()
        def launcher = Class.forName('nextflow.cli.Launcher').getDeclaredConstructor().newInstance()
        def words = Arrays.copyOf(asked.words.toArray(), asked.words.size(), Class.forName('[Ljava.lang.String;'))
        def code = launcher.command(words).run()
        new File("${asked.said}.part").text = code.toString()
        new File("${asked.said}.part").renameTo("${asked.said}.code")
    }
    System.exit(0)
}
