// Idle clients of Java: java Idle.java connection|client N URL. Each sends one
// request, reads the answer, and leaves the connection to Java's pool. Runs
// until its standard input ends.
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.ArrayList;
import java.util.List;

class Idle {
    static void connection(URI url) throws Exception {
        HttpURLConnection one = (HttpURLConnection) url.toURL().openConnection();
        try (InputStream in = one.getInputStream()) {
            in.readAllBytes();
        }
    }

    public static void main(String[] args) throws Exception {
        URI url = URI.create(args[2]);
        List<HttpClient> clients = new ArrayList<>();
        int n = args[0].equals("client") ? Integer.parseInt(args[1]) : 1;
        for (int i = 0; i < n; i++) {
            if (args[0].equals("connection")) {
                connection(url);
            } else {
                HttpClient client = HttpClient.newBuilder()
                    .version(HttpClient.Version.HTTP_1_1).build();
                clients.add(client);
                client.send(HttpRequest.newBuilder(url).build(),
                            BodyHandlers.ofString());
            }
        }
        System.out.println("answered");
        System.in.read();
        System.exit(clients.isEmpty() && n > 1 ? 1 : 0);
    }
}
