// Commands of Nextflow in this process, one after the other as they come on standard input, see several.py: each a
// list of words, and where to write what it says. Its exit code goes to a file beside that.

workflow {
    new InputStreamReader(new FileInputStream('/dev/stdin')).eachLine { line ->
        def asked = new groovy.json.JsonSlurper().parseText(line)
        def said = new PrintStream(asked.said, 'UTF-8')
        System.setOut(said)
        System.setErr(said)
        // What Nextflow keeps for as long as a process lasts, of this script or of the command before
        Class.forName('nextflow.plugin.Plugins').stop()
        Class.forName('nextflow.extension.CH').allTopics.clear()
        Class.forName('nextflow.script.ExecutionStack').stack.clear()
        def launcher = Class.forName('nextflow.cli.Launcher').getDeclaredConstructor().newInstance()
        def words = Arrays.copyOf(asked.words.toArray(), asked.words.size(), Class.forName('[Ljava.lang.String;'))
        def code = launcher.command(words).run()
        new File("${asked.said}.part").text = code.toString()
        new File("${asked.said}.part").renameTo("${asked.said}.code")
    }
    System.exit(0)
}
