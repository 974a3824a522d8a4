import java.io.IOException;
import java.security.MessageDigest;
import java.security.cert.X509Certificate;
import java.util.HexFormat;
import org.apache.catalina.Globals;
import org.apache.catalina.connector.Request;
import org.apache.catalina.connector.Response;
import org.apache.catalina.startup.Tomcat;
import org.apache.catalina.valves.SSLValve;
import org.apache.catalina.valves.ValveBase;

/**
 * A Tomcat with SSLValve as it is, which answers with the SHA-256 of each certificate that the valve makes of a request's
 * headers, or with "none": java -cp JAR Server.java DIRECTORY. It writes its port. Both Tomcats compile it, since it names no
 * class of the Servlet API, whose package has another name in each.
 */
public class Server {
    public static void main(String[] arguments) throws Exception {
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(arguments[0]);
        tomcat.setPort(0);
        tomcat.getConnector().setProperty("address", "127.0.0.1");
        tomcat.getEngine().getPipeline().addValve(new SSLValve());
        tomcat.getEngine().getPipeline().addValve(new Answer());
        tomcat.start();
        System.out.println("port " + tomcat.getConnector().getLocalPort());
        tomcat.getServer().await();
    }

    static class Answer extends ValveBase {
        @Override
        public void invoke(Request request, Response response) throws IOException {
            StringBuilder found = new StringBuilder();
            Object certificates = request.getAttribute(Globals.CERTIFICATES_ATTR);
            if (certificates == null) {
                found.append("none");
            } else {
                for (X509Certificate certificate : (X509Certificate[]) certificates) {
                    try {
                        byte[] digest = MessageDigest.getInstance("SHA-256").digest(certificate.getEncoded());
                        found.append(HexFormat.of().formatHex(digest)).append('\n');
                    } catch (java.security.GeneralSecurityException error) {
                        throw new IOException(error);
                    }
                }
            }
            response.setStatus(200);
            response.setContentType("text/plain");
            response.getWriter().print(found.toString().strip());
        }
    }
}
